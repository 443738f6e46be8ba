"""The catalogue: every scenario of the reproduction, as settings.

Light to import. Detection is on in all of them, at its defaults; the same learner without
detection is told the boundaries of the same samples.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import PositiveInt

from si_stream.learning.options import Options
from si_stream.learning.presets import PRESETS
from simulators.options import ReplayOptions
from simulators.reproductions.recipe import Recipe

SilentScenario = Literal[
    "split-mnist",
    "permuted-mnist",
    "split-cifar",
    "split-mnist-global",
    "class-incremental",
    "stationary-5",
    "stationary-20",
    "one-task-20-epochs",
    "noisy-split-mnist",
    "gradual-drift",
    "recurring",
    "recurring-errors",
    "ablation-errors",
    "ablation-losses",
    "ablation-inputs",
    "ablation-no-rewind",
    "split-digits",
]


class Trial(Options):
    """One scenario: a stream, and what learns it.

    Args:
        title: what happens in it, for people.
        seeds: how many are run, if nobody says otherwise.
        learner: groups of settings.
        rewind: False: boundaries are where the alarms are noticed, and nothing is taken back.
        told_late: the learner without detection is also told each boundary one sample late: what
            a shift makes alone, which starts every batch behind it elsewhere.
        on_request: run only where it is named.
        seconds: that a run takes on one core, roughly; for the time left alone.
    """

    name: SilentScenario
    title: str
    seeds: PositiveInt
    stream: Recipe
    learner: dict[str, dict[str, Any]]
    rewind: bool = True
    told_late: bool = False
    on_request: bool = False
    seconds: float = 45.0


def _trial(
    name: SilentScenario,
    title: str,
    stream: Recipe,
    *,
    preset: str = "split-mnist",
    model: dict[str, Any] | None = None,
    detection: dict[str, Any] | None = None,
    seeds: int = 10,
    **other: Any,
) -> Trial:
    groups = {
        **PRESETS[preset],
        "detection": {"kind": "adwin", **(detection or {})},
        "holdout": {"source": "off"},
    }
    groups["model"] = {**groups["model"], **(model or {})}
    return Trial(name=name, title=title, seeds=seeds, stream=stream, learner=groups, **other)


def _replay(**chosen: Any) -> ReplayOptions:
    """Boundaries fall anywhere in a batch of the paper's sizes."""
    return ReplayOptions(**{"holdout": False, "boundary_jitter_samples": 255, **chosen})


# A head of zeros with outputs that its task never asks for learns to rule them out first, and so
# fast that it unlearns the rest: errors rise from 10 to 50 % some 600 samples after a start.
_TEN_LABELS: dict[str, Any] = {
    "outputs": 10,
    "network": {
        **PRESETS["split-mnist"]["model"]["network"],
        "head_initialisation": "glorot-uniform",
    },
}
# Epochs as in the paper.
_SPLIT = Recipe(data="split-mnist", replay=_replay(epochs_per_task=10))
_RECURRING = _SPLIT.model_copy(
    update={
        "order": "ABACBDCEDABEC",
        "again": "other",
        "replay": _replay(epochs_per_task=4),
    }
)

TRIALS: dict[str, Trial] = {
    trial.name: trial
    for trial in (
        _trial("split-mnist", "Split MNIST, 10 epochs a task", _SPLIT),
        _trial(
            "permuted-mnist",
            "Permuted MNIST, 10 tasks of 12,000 samples, 2,000-2,000 units",
            Recipe(data="permuted-mnist", samples_per_task=12_000, replay=_replay()),
            preset="permuted-mnist",
            seeds=3,
            seconds=220.0,
        ),
        _trial(
            "split-cifar",
            "Split CIFAR, reduced: 3 tasks of 2,000 samples, 6 epochs, batches of 64, no dropout",
            Recipe(
                data="split-cifar",
                task_count=3,
                samples_per_task=2000,
                replay=_replay(epochs_per_task=6),
            ),
            preset="split-cifar",
            model={
                "batch_size": 64,
                "network": {**PRESETS["split-cifar"]["model"]["network"], "dropout": False},
            },
            seeds=6,
            seconds=300.0,
            told_late=True,
        ),
        _trial(
            "split-mnist-global",
            "Split MNIST, labels 0 to 9 in all tasks, a head a task",
            _SPLIT.model_copy(update={"labels": "global"}),
            model=_TEN_LABELS,
            seeds=5,
        ),
        _trial(
            "class-incremental",
            "Split MNIST, labels 0 to 9, one head for all tasks",
            _SPLIT.model_copy(update={"labels": "global"}),
            model={**_TEN_LABELS, "heads": "shared"},
            seeds=3,
        ),
        *(
            _trial(
                f"stationary-{percent}",  # type: ignore[arg-type]
                f"MNIST, nothing changes, {percent} % of the labels wrong",
                Recipe(
                    data="stationary-mnist",
                    replay=_replay(epochs_per_task=5, label_noise=percent / 100),
                ),
                model=_TEN_LABELS,
                seeds=5,
            )
            for percent in (5, 20)
        ),
        _trial(
            "one-task-20-epochs",
            "MNIST, nothing changes, 20 epochs",
            Recipe(data="stationary-mnist", replay=_replay(epochs_per_task=20)),
            model=_TEN_LABELS,
            seeds=3,
        ),
        _trial(
            "noisy-split-mnist",
            "Split MNIST, 20 % of the labels wrong",
            _SPLIT.model_copy(update={"replay": _replay(epochs_per_task=10, label_noise=0.2)}),
            seeds=3,
        ),
        _trial(
            "gradual-drift",
            "Split MNIST, each change over 2,000 samples",
            _SPLIT.model_copy(update={"replay": _replay(epochs_per_task=10, drift_samples=2000)}),
            seeds=3,
        ),
        _trial(
            "recurring",
            "Split MNIST in the order ABACBDCEDABEC, other samples each time",
            _RECURRING,
            seeds=6,
        ),
        _trial(
            "recurring-errors",
            "Split MNIST in the order ABACBDCEDABEC, errors alone watched",
            _RECURRING,
            detection={"signals": ["errors"]},
            seeds=3,
        ),
        *(
            _trial(
                f"ablation-{signal}",  # type: ignore[arg-type]
                f"Split MNIST, {signal} alone watched",
                _SPLIT,
                detection={"signals": [signal]},
                seeds=3,
            )
            for signal in ("errors", "losses", "inputs")
        ),
        _trial(
            "ablation-no-rewind",
            "Split MNIST, boundaries where the alarms are, nothing taken back",
            _SPLIT,
            rewind=False,
            seeds=3,
        ),
        _trial(
            "split-digits",
            "scikit-learn's digits, 2 a task; no download, some seconds",
            Recipe(data="split-digits", task_count=3, replay=_replay(epochs_per_task=8)),
            preset="split-digits",
            seeds=3,
            on_request=True,
            seconds=5.0,
        ),
    )
}
