"""Importance: what Synaptic Intelligence found important in each task, held against other tasks and
against the Fisher information.

Fig. 5 of the paper shows the correlation of ω between tasks, layer by layer; its discussion expects
importance to go with the Fisher information of Elastic Weight Consolidation. Invariant: measuring
changes no bit of what is learned.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean

import torch
from pydantic import Field
from torch import Tensor

from si_stream.learning.fisher import LogProbabilities, diagonal_fisher
from si_stream.learning.learner import Learner
from si_stream.learning.parameters import PATH_INTEGRAL, REFERENCE, WEIGHTS, ParameterGroup
from si_stream.learning.synaptic_intelligence import SynapticIntelligence
from simulators.reproductions.records import Part
from simulators.scenarios import Task

FISHER_SAMPLES = 100  # of a task's training samples, the first ones
OUTPUT = "output"
IMPORTANCE, IMPORTANCE_TITLE = (
    "importance",
    "Correlation of ω between tasks, as in Fig. 5",
)  # a picture


class Importance(Part):
    """By layer, of its weight matrix without biases: ``hidden-1`` is next to the inputs, and
    ``output`` is there where all tasks have one head.

    Attributes:
        between_tasks: the correlation matrix of ω, ``[T, T]``.
        with_fisher: after each task, Pearson's correlation of what it adds to Ω, ω / (Δ² + ξ),
            with the diagonal of the Fisher information on its inputs.
        with_fisher_ranks: the same of the ranks (Spearman's).
    """

    between_tasks: dict[str, list[list[float]]] = Field(default_factory=dict)
    with_fisher: dict[str, list[float]] = Field(default_factory=dict)
    with_fisher_ranks: dict[str, list[float]] = Field(default_factory=dict)

    def mean_between_tasks(self, layer: str) -> float:
        """Of the pairs of two tasks."""
        matrix = self.between_tasks[layer]
        return mean(row[task] for number, row in enumerate(matrix) for task in range(number))


class ObservedIntelligence(SynapticIntelligence):
    """Synaptic Intelligence that is looked at each time before it consolidates.

    Args:
        observed: the one that the learner has; this one takes its place.
        tasks: in the order in which they end.
        heads: where all tasks have one head, its layer is looked at too.
    """

    def __init__(self, observed: SynapticIntelligence, tasks: Sequence[Task], heads: str) -> None:
        super().__init__(observed.strength, observed.damping, observed.decay)
        self._observed = observed
        self._tasks = tasks
        self._heads = heads
        self._omegas: dict[str, list[Tensor]] = {}
        self._pearson: dict[str, list[float]] = {}
        self._spearman: dict[str, list[float]] = {}

    def consolidate(self, group: ParameterGroup) -> None:
        self._observed.consolidate(group)

    def end_task(
        self, groups: Sequence[ParameterGroup], log_probabilities: LogProbabilities
    ) -> None:
        self._look(groups, log_probabilities)
        super().end_task(groups, log_probabilities)

    @property
    def omegas(self) -> dict[str, list[Tensor]]:
        """Of each layer, ω of each task that has ended."""
        return self._omegas

    def go_on(self, omegas: dict[str, list[Tensor]], so_far: Importance) -> None:
        """From what had been seen when the run was stopped."""
        self._omegas = omegas
        self._pearson = {name: list(values) for name, values in so_far.with_fisher.items()}
        self._spearman = {name: list(values) for name, values in so_far.with_fisher_ranks.items()}

    def so_far(self) -> Importance:
        """Without the correlation between tasks, which follows from ω."""
        return Importance(with_fisher=self._pearson, with_fisher_ranks=self._spearman)

    def found(self) -> Importance:
        return Importance(
            between_tasks={name: correlations(omegas) for name, omegas in self._omegas.items()},
            with_fisher=self._pearson,
            with_fisher_ranks=self._spearman,
        )

    def _look(self, groups: Sequence[ParameterGroup], log_probabilities: LogProbabilities) -> None:
        ended = next(iter(self._omegas.values()), [])
        task = self._tasks[len(ended)]
        count = min(FISHER_SAMPLES, len(task.train))
        inputs, _ = task.train.take(torch.arange(count).numpy())
        fishers = diagonal_fisher(groups, torch.from_numpy(inputs), log_probabilities)
        trunk, head = groups
        layers = _layers(trunk, fishers[0], "hidden-{}")
        if self._heads == "shared":
            layers |= _layers(head, fishers[1], OUTPUT)
        for name, (omega, delta, fisher) in layers.items():
            gain = omega / (delta.square() + self.damping)
            self._omegas.setdefault(name, []).append(omega.cpu().clone())
            self._pearson.setdefault(name, []).append(_correlation(gain, fisher))
            ranks = _correlation(_ranks(gain), _ranks(fisher))
            self._spearman.setdefault(name, []).append(ranks)


def observe(learner: Learner, tasks: Sequence[Task]) -> ObservedIntelligence | None:
    """From now on; None where the learner has another consolidator."""
    own = learner.consolidator
    if not isinstance(own, SynapticIntelligence):
        return None
    learner.consolidator = observer = ObservedIntelligence(own, tasks, learner.model.heads)
    return observer


def correlations(vectors: Sequence[Tensor]) -> list[list[float]]:
    """Pearson's, of each with each.

    >>> correlations([torch.tensor([0.0, 1.0, 2.0]), torch.tensor([4.0, 2.0, 0.0])])
    [[1.0, -1.0], [-1.0, 1.0]]
    """
    return [[round(_correlation(one, other), 5) for other in vectors] for one in vectors]


def _correlation(one: Tensor, other: Tensor) -> float:
    a, b = (part.double() - part.double().mean() for part in (one, other))
    scale = float(a.norm() * b.norm())
    return float(a @ b) / scale if scale else 0.0


def _ranks(values: Tensor) -> Tensor:
    """From 0; of equal ones the earlier is the lower."""
    ranks = torch.empty(len(values), dtype=torch.float64)
    ranks[values.argsort(stable=True).cpu()] = torch.arange(len(values), dtype=torch.float64)
    return ranks


def _layers(
    group: ParameterGroup, fisher: Tensor, name: str
) -> dict[str, tuple[Tensor, Tensor, Tensor]]:
    """ω, Δ and the Fisher information of each weight matrix, flat."""
    matrices = [piece for piece in group.pieces if piece.parameter.dim() > 1]
    return {
        name.format(number): (
            piece.views[PATH_INTEGRAL],
            piece.views[WEIGHTS] - piece.views[REFERENCE],
            fisher[piece.start : piece.start + piece.size],
        )
        for number, piece in enumerate(matrices, start=1)
    }
