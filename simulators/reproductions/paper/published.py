"""Published: what the paper's authors and others have reported of the same benchmarks.

In per cent, on the test set where nothing else is said. The authors' figures are those of the
result files that they published with their code (ganguli-lab/pathint, 2018).
"""

from __future__ import annotations

from typing import NamedTuple

from simulators.reproductions.paper.catalogue import JOINT, NONE, SCRATCH, SI

AUTHORS = "the authors' result files"
AUTHORS_TRAINING = "the authors' result files, training samples"
GT_RIPL = "Hsu et al. 2018 (GT-RIPL), 10 runs"
VAN_DE_VEN = "van de Ven & Tolias 2019"
AVALANCHE = "Avalanche's baselines"
SMALLER = "van de Ven & Tolias 2019, 1000-1000 units"


class Published(NamedTuple):
    """``spread`` is the standard deviation of the average where it is told. ``parts`` are the
    accuracies of the tasks at the end (bars), or the averages after each task (panels, curves)."""

    source: str
    method: str
    strength: float | None
    average: float
    spread: float | None = None
    forgetting: float | None = None  # in points
    parts: tuple[float, ...] = ()


PUBLISHED: dict[str, tuple[Published, ...]] = {
    "split-mnist": (
        Published(AUTHORS_TRAINING, SI, 1.0, 98.9, parts=(100.0, 100.0, 99.3, 99.3, 98.9)),
        Published(AUTHORS_TRAINING, NONE, None, 85.9, parts=(100.0, 90.0, 94.8, 86.7, 85.9)),
        Published(GT_RIPL, SI, None, 98.56, 0.49),
        Published(GT_RIPL, "ewc", None, 97.70, 0.81),
        Published(GT_RIPL, NONE, None, 93.46, 2.01),
        Published(GT_RIPL, JOINT, None, 99.52, 0.16),
        Published(VAN_DE_VEN, SI, None, 99.09),
        Published(VAN_DE_VEN, "ewc", None, 98.64),
        Published(VAN_DE_VEN, NONE, None, 87.19),
        Published(VAN_DE_VEN, JOINT, None, 99.66),
    ),
    "permuted-mnist": (
        Published(
            AUTHORS,
            SI,
            0.1,
            96.94,
            forgetting=1.15,
            parts=(98.30, 98.32, 98.27, 97.99, 97.89, 97.77, 97.56, 97.46, 97.12, 96.94),
        ),
        Published(AUTHORS, SI, 0.02, 93.9),
        Published(AUTHORS, SI, 0.01, 92.0),
        Published(AUTHORS, NONE, None, 57.4),
        Published(SMALLER, SI, None, 95.3),
        Published(SMALLER, "ewc", None, 94.3),
        Published(SMALLER, NONE, None, 78.5),
        Published(SMALLER, JOINT, None, 97.6),
        Published(AVALANCHE, SI, None, 83.0),
    ),
    "split-cifar": (
        Published(AUTHORS, SI, 0.01, 73.5, parts=(74.6, 71.8, 71.4, 74.4, 70.4, 78.6)),
        Published(AUTHORS, SI, 0.1, 72.0, parts=(78.3, 74.3, 68.2, 71.9, 67.0, 72.5)),
        Published(AUTHORS, NONE, None, 62.5, parts=(45.9, 54.9, 57.0, 68.7, 67.5, 81.0)),
        Published(AUTHORS, SCRATCH, None, 71.1, parts=(80.4, 69.0, 64.7, 73.3, 67.9, 71.3)),
    ),
}
