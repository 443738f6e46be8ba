"""Worlds that come back: whether the first samples behind a boundary are of a task that is known.

The means of the new samples, label by label, are held against those of each portrait, in units of
what chance makes them differ by. Invariant: the decision follows from the samples and the
portraits, not from weights.

Reference: Hotelling, "The generalization of Student's ratio", Annals of Mathematical Statistics 2
(1931); Anderson, "An Introduction to Multivariate Statistical Analysis", 3rd ed. (2003), §5 and §7.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch

from si_stream.boundaries.portraits import Portrait, Sums

COMPARED_SAMPLES = 256
"""With 128 some worlds of CIFAR lie as near as chance would have it."""
MOST_DEVIATIONS = 6.0
"""Measured over worlds of MNIST and CIFAR: the same world within 5.5, another from 7.4 up."""
LEAST_SPREAD, MOST_SPREAD = 0.4, 1.6
"""Images of little contrast lie near the mean of any; samples that were drawn already, too."""
UNKNOWN_SHARE = 0.1


class Fit(NamedTuple):
    """How well samples fit a portrait.

    ``distance`` of their means and ``spread`` about the portrait's, each 1 on average where the
    world is the same; the ``limit`` that chance keeps the distance below; ``likelihood`` of a
    sample (nats, up to a constant).
    """

    distance: float
    spread: float
    limit: float
    likelihood: float

    @property
    def is_same(self) -> bool:
        return self.distance <= self.limit and LEAST_SPREAD <= self.spread <= MOST_SPREAD


NO_FIT = Fit(math.inf, math.inf, 1.0, -math.inf)


def fit(sums: Sums, portrait: Portrait) -> Fit:
    """Samples that a portrait has hardly any of the labels of are infinitely far from it."""
    known = (sums.counts > 0) & (portrait.counts > 0)
    samples = float(sums.counts[known].sum())
    if samples < (1 - UNKNOWN_SHARE) * sums.samples:
        return NO_FIT
    size = portrait.covariance.size(0)
    factor, failed = torch.linalg.cholesky_ex(portrait.covariance)
    if failed:
        return NO_FIT
    # The inverse of a covariance that was estimated is too large by this on average.
    freedom = float(portrait.counts.sum() - (portrait.counts > 0).sum())
    if freedom <= 0:  # each label was seen once: there is no spread
        return NO_FIT
    inflated = max(0.1, (freedom - size - 1) / freedom)

    n, known_n = sums.counts[known], portrait.counts[known]
    apart = sums.sums[known] / n.unsqueeze(1) - portrait.means[known]
    whitened = torch.linalg.solve_triangular(factor, apart.T, upper=False)
    squares = whitened.square().sum(0) / (1 / n + 1 / known_n)
    distance = inflated * float(squares.sum()) / (size * len(n))
    limit = 1 + MOST_DEVIATIONS * math.sqrt(2 / (size * len(n)))

    scatter = sums.scatter_about(portrait.means)
    solved = torch.cholesky_solve(scatter, factor)
    spread = inflated * float(solved.diagonal().sum()) / (size * sums.samples)
    log_determinant = 2 * float(factor.diagonal().log().sum())
    return Fit(distance, spread, limit, -0.5 * (size * spread + log_determinant))


def known_world(sums: Sums, portraits: Mapping[int, Portrait]) -> tuple[int | None, dict[int, Fit]]:
    """The task that samples are of, if it is known, and how well they fit each.

    Of several that they fit it is the one that explains them best, the earlier of two equals.
    """
    found = {task: fit(sums, portrait) for task, portrait in portraits.items()}
    same = [task for task, one in found.items() if one.is_same]
    return max(same, key=lambda task: (found[task].likelihood, -task), default=None), found
