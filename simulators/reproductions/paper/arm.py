"""An arm: a benchmark with one method at one strength, for so many epochs of so many tasks.

Invariant: its name says all that it is, and is read back from a record's file name.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Self

from si_stream.errors import SettingsError
from si_stream.learning.options import ConsolidatorOptions
from si_stream.learning.presets import PRESETS
from simulators.reproductions.paper.catalogue import (
    DROPOUT,
    GRIDS,
    JOINT,
    METHODS,
    NONE,
    SCRATCH,
    SI,
    WITHOUT_STRENGTH,
    Benchmark,
)
from simulators.reproductions.paper.variations import RELU_BY_TASK, VARIATIONS, is_usual

ALL = "all"
NAME = re.compile(
    r"(?P<method>[a-z][a-z0-9-]*?)(-c-(?P<strength>[0-9.]+(e[+-]?[0-9]+)?))?"
    r"(-with-(?P<variation>[a-z-]+?))?"
    r"(-(?P<epochs>[0-9]+)-epochs)?(-(?P<tasks>[0-9]+)-tasks)?(-(?P<samples>[0-9]+)-samples)?"
    r"(?P<validation>-validation)?"
)


class Arm(NamedTuple):
    """``validation``: it is to choose a strength by, so it learns nine tenths of each task's
    training samples and is tested on the last tenth; the test set is not read. ``samples``: at most
    so many training samples of each task, drawn by the seed; None: all. ``variation``: the name
    of a detail that is not as the authors had it."""

    method: str
    strength: float | None
    epochs: int
    tasks: int
    validation: bool = False
    samples: int | None = None
    variation: str | None = None

    @property
    def has_strength(self) -> bool:
        return self.strength is not None

    @classmethod
    def named(cls, name: str, benchmark: Benchmark) -> Self | None:
        """The arm of this name; None where this version has no such method."""
        parts = NAME.fullmatch(name)
        if parts is None or parts["method"] not in METHODS:
            return None
        if parts["variation"] not in (None, *VARIATIONS):
            return None
        return cls(
            parts["method"],
            float(parts["strength"]) if parts["strength"] else None,
            int(parts["epochs"] or benchmark.epochs),
            int(parts["tasks"] or benchmark.tasks),
            parts["validation"] is not None,
            int(parts["samples"]) if parts["samples"] else None,
            parts["variation"],
        )

    def name(self, benchmark: Benchmark) -> str:
        """Short where it is as the authors ran it.

        >>> from simulators.reproductions.paper.catalogue import BENCHMARKS
        >>> Arm("none", None, 3, 10).name(BENCHMARKS["permuted-mnist"])
        'none-3-epochs'
        """
        return (
            self.method
            + (f"-c-{told(self.strength)}" if self.strength is not None else "")
            + (f"-with-{self.variation}" if self.variation else "")
            + (f"-{self.epochs}-epochs" if self.epochs != benchmark.epochs else "")
            + (f"-{self.tasks}-tasks" if self.tasks != benchmark.tasks else "")
            + (f"-{self.samples}-samples" if self.samples is not None else "")
            + ("-validation" if self.validation else "")
        )

    def options(self) -> str:
        """Of the benchmark's command; of a strength to choose by, with no other to choose from.

        >>> Arm("synaptic-intelligence", 0.1, 20, 10).options()
        '--methods synaptic-intelligence --strength 0.1 --epochs 20 --task-count 10'
        """
        return (
            f"--methods {self.method}"
            + (f" --strength {told(self.strength)}" if self.strength is not None else "")
            + f" --epochs {self.epochs} --task-count {self.tasks}"
            + (f" --samples-per-task {self.samples}" if self.samples is not None else "")
            + (f" --with {self.variation}" if self.variation else "")
            + (" --grid" if self.validation else "")
        )

    def until_its_first_boundary(self) -> Self | None:
        """What it is until then, as others are; None where it is like no other arm.

        >>> Arm("none", None, 20, 10).until_its_first_boundary().method
        'synaptic-intelligence'
        """
        begins = self
        if self.variation and not VARIATIONS[self.variation].from_the_first_task:
            begins = begins._replace(variation=None)
        if self.method == NONE:  # is Synaptic Intelligence at c = 0
            return begins._replace(method=SI, strength=0.0)
        return begins._replace(strength=0.0) if self.has_strength else None

    def is_shorter(self, benchmark: Benchmark) -> bool:
        """Than the authors' runs."""
        return (
            self.epochs < benchmark.epochs
            or self.tasks < benchmark.tasks
            or self.samples is not None
        )


def told(strength: float) -> str:
    """As short as it can be read back.

    >>> told(1.0), told(0.1), told(0.12345678)
    ('1', '0.1', '0.12345678')
    """
    short = f"{strength:g}"
    return short if float(short) == strength else repr(strength)


def planned(
    benchmark: Benchmark,
    *,
    methods: Sequence[str] = (),
    strengths: Sequence[float] = (),
    epochs: int | None = None,
    tasks: int | None = None,
    samples: int | None = None,
    variations: Sequence[str] = (),
) -> list[Arm]:
    """The arms that are asked for; the authors' where nothing is said.

    Args:
        methods: by name; `ALL` are those that the benchmark allows.
        strengths: of each method that has one.
        variations: by name; each makes arms beside those without any.

    Raises:
        SettingsError: there is no such method or variation, a variation changes nothing, a strength
            is infinite, or strengths are for no method.
    """
    named = methods or benchmark.methods
    if ALL in named:
        named = [name for name in METHODS if name != DROPOUT or not benchmark.has_dropout]
    names = list(dict.fromkeys(named))
    for name in names:
        if name not in METHODS:
            raise SettingsError(f"there is no method {name!r}; there are {', '.join(METHODS)}")
        if name == DROPOUT and benchmark.has_dropout:
            raise SettingsError(
                f"the network of {benchmark.name} drops units whatever the method: leave {name} out"
            )
    for name in variations:
        if name not in VARIATIONS:
            raise SettingsError(
                f"there is no variation {name!r}; there are {', '.join(VARIATIONS)}"
            )
        if is_usual(PRESETS[benchmark.name], name):
            raise SettingsError(
                f"{name} is how {benchmark.name} is run without it: leave it out, or the same runs "
                "are done twice"
            )
        if not any(_changes(name, method) for method in names):
            raise SettingsError(
                f"{name} changes nothing for {', '.join(names)}: leave it out, or name a method "
                f"that it is for, such as {SI}"
            )
    for strength in strengths:
        if not math.isfinite(strength):
            raise SettingsError(f"strength {strength}: give a number of 0 or more, such as 0.1")
    if strengths and not strong(names):
        raise SettingsError(
            f"strength {strengths[0]:g} is for none of the methods {', '.join(names)}: leave it "
            f"out, or name a method that has one, such as {SI}"
        )
    return [
        Arm(
            name,
            strength,
            epochs or benchmark.epochs,
            tasks or benchmark.tasks,
            samples=samples,
            variation=variation,
        )
        for variation in (None, *dict.fromkeys(variations))
        for name in names
        if variation is None or _changes(variation, name)
        for strength in dict.fromkeys(_strengths(name, benchmark, strengths))
    ]


def _changes(variation: str, method: str) -> bool:
    """Whether anything is learned otherwise."""
    if variation == RELU_BY_TASK:
        return method == SI
    return VARIATIONS[variation].from_the_first_task or method not in (JOINT, SCRATCH)


def strong(methods: Iterable[str]) -> list[str]:
    """Those that have a strength."""
    return [method for method in methods if method not in WITHOUT_STRENGTH]


def rivals(
    benchmark: Benchmark, arms: Iterable[Arm], strengths: Sequence[float] = ()
) -> list[list[Arm]]:
    """For each method that has a strength, the arms to choose it by.

    Args:
        strengths: the grid; each method's own by default.

    Raises:
        SettingsError: no method has one.
    """
    methods = list(dict.fromkeys(arm._replace(strength=None) for arm in arms if arm.has_strength))
    if not methods:
        raise SettingsError(
            f"--grid chooses a strength, and no method has one: name one that has, such as {SI}"
        )
    return [
        [arm._replace(strength=strength, validation=True) for strength in dict.fromkeys(grid)]
        for arm in methods
        for grid in [strengths or GRIDS.get(arm.method, benchmark.grid)]
    ]


def _strengths(
    method: str, benchmark: Benchmark, strengths: Sequence[float]
) -> Sequence[float | None]:
    if method in WITHOUT_STRENGTH:
        return [None]
    if strengths:
        return strengths
    return benchmark.strengths if method == SI else [ConsolidatorOptions().strength]
