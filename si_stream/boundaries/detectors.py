"""Detectors: whether the 0/1 errors of a stream, or other numbers between, have become larger.

A detector is fed the errors of samples in their order and alarms at one of them. Invariant: where
it alarms depends on the errors since the last reset alone, not on how they were cut into arrays,
nor on whether the detector was saved and loaded in between.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from si_stream.boundaries.options import DetectorKind
from si_stream.errors import CheckpointError

Values = npt.NDArray[np.bool_] | npt.NDArray[np.float64]


class Detector(ABC):
    """Only what becomes worse alarms: errors become rarer whenever something is learned.

    Example:
        >>> detector = build_detector("adwin")
        >>> detector.alarmed(np.arange(992) % 20 == 0) is None  # 5 % errors
        True
        >>> detector.alarmed(np.ones(100, dtype=bool))
        31
    """

    name: ClassVar[str]

    def __init__(self) -> None:
        self.reset()

    @abstractmethod
    def reset(self) -> None:
        """A task has ended: forget its errors."""

    @abstractmethod
    def alarmed(self, wrong: Values) -> int | None:
        """The index of the error, of these ``[n]``, at which it alarms; those behind are not fed.

        An alarm resets it: fed on, it alarms when errors have become more frequent still.
        """

    def state(self) -> bytes:
        """Everything that it goes on from, to the bit."""
        return json.dumps(self._origin()).encode() + b"\n" + self._state()

    def load(self, state: bytes) -> None:
        """Take over the `state` of a detector of this kind.

        Raises:
            CheckpointError: it is of another kind, or of another version of river, whose
                detectors may count otherwise.
        """
        head, _, own = state.partition(b"\n")
        written, here = json.loads(head), self._origin()
        if written["detector"] != here["detector"]:
            raise CheckpointError(
                f"the checkpoint's detector is {written['detector']!r}, and this one is "
                f"{here['detector']!r}: go on with {written['detector']!r}"
            )
        if written["river"] != here["river"]:
            raise CheckpointError(
                f"the checkpoint's detector was written with river {written['river']}, and this is "
                f"river {here['river']}: install river=={written['river']} to go on from it"
            )
        self._load(own)

    def _origin(self) -> dict[str, str]:
        import river

        return {"detector": self.name, "river": river.__version__}

    @abstractmethod
    def _state(self) -> bytes: ...

    @abstractmethod
    def _load(self, state: bytes) -> None: ...


def kind_of(state: bytes) -> str:
    """Of the detector whose `Detector.state` it is."""
    kind: str = json.loads(state.partition(b"\n")[0])["detector"]
    return kind


def build_detector(kind: DetectorKind) -> Detector:
    """A detector that has seen nothing; river is loaded here and not before."""
    match kind:
        case "adwin":
            from si_stream.boundaries.adwin import Adwin

            return Adwin()
        case "page-hinkley":
            from si_stream.boundaries.river_detectors import PageHinkley

            return PageHinkley()
        case "hddm":
            from si_stream.boundaries.river_detectors import Hddm

            return Hddm()
        case "kswin":
            from si_stream.boundaries.river_detectors import Kswin

            return Kswin()
