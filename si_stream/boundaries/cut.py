"""The cut: where, among the last errors, it is most likely that they became more frequent.

Each error before a cut is taken for a throw of one coin and each behind it for a throw of another,
which comes up wrong more often. The cut is where the best two such coins explain the errors best.
Invariant: the same errors have the same cut; of two equally likely ones it is the earlier.

Reference: Hinkley & Hinkley, "Inference about the change-point in a sequence of binomial
variables", Biometrika 57 (1970).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Amounts = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Cut:
    index: int  # of the first error behind it, 1 to n; n where errors did not become more frequent
    evidence: float  # nats: log likelihood of two rates over that of one; 0 without a cut


def find_cut(wrong: npt.NDArray[np.bool_] | Amounts) -> Cut:
    """The most likely cut of the errors ``[n]`` since the last boundary, the newest last.

    They may be shares from 0 to 1: of a coin's throws, that is, that came up wrong in part.

    Example:
        >>> find_cut(np.array([0, 0, 0, 1, 0, 0, 0, 0, 1, 1, 0, 1], dtype=bool))
        Cut(index=8, evidence=2.37...)
    """
    n = len(wrong)
    if n < 2:
        return Cut(n, 0.0)
    before = np.arange(1.0, n)
    wrong_up_to = np.cumsum(wrong, dtype=np.float64)
    wrong_before, total = wrong_up_to[:-1], wrong_up_to[-1:]
    behind, wrong_behind = n - before, np.maximum(total - wrong_before, 0.0)
    evidence = (
        _likelihood(wrong_before, before)
        + _likelihood(wrong_behind, behind)
        - _likelihood(total, np.array([float(n)]))
    )
    worse = wrong_behind * before > wrong_before * behind
    if not worse.any():
        return Cut(n, 0.0)
    best = int(np.argmax(np.where(worse, evidence, -np.inf)))
    return Cut(best + 1, float(evidence[best]))


def log_ratios(wrong: npt.NDArray[np.bool_] | Amounts, before: float, behind: float) -> Amounts:
    """Of each of the errors ``[n]``, how much likelier it is behind a cut than before it (nats).

    Args:
        before: the rate of errors there, above 0 and below 1; ``behind`` likewise.
    """
    gain, loss = np.log(behind / before), np.log((1 - behind) / (1 - before))
    ratios: Amounts = wrong * gain + (1.0 - wrong) * loss
    return ratios


def _likelihood(errors: Amounts, samples: Amounts) -> Amounts:
    """log of pᵉ(1−p)ⁿ⁻ᵉ at its greatest, where p = e/n."""
    return _x_log_x(errors) + _x_log_x(samples - errors) - _x_log_x(samples)


def _x_log_x(x: Amounts) -> Amounts:
    logarithms = np.log(x, out=np.zeros_like(x), where=x > 0)
    found: Amounts = x * logarithms
    return found
