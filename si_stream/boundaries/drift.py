"""The watch over a task: its errors, the detector that is fed them, and where a change was.

Invariant: what it says follows from the errors since the last boundary alone.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from si_stream.boundaries.cut import find_cut
from si_stream.boundaries.detectors import build_detector
from si_stream.boundaries.options import DetectionOptions

Errors = npt.NDArray[np.bool_]


class Alarm(NamedTuple):
    """Errors have become more frequent.

    ``sample`` alarmed, and ``cut`` is the first of what is new, both counted from the task's
    first sample, 0; ``evidence`` is the cut's log likelihood ratio in nats.
    """

    sample: int
    cut: int
    evidence: float


class DriftWatch:
    """Args:
    options: what to detect with, and how many errors to look for a cut among.
    """

    def __init__(self, options: DetectionOptions) -> None:
        assert options.kind != "off"
        self.options = options
        self.detector = build_detector(options.kind)
        self.seen = 0
        """Samples of the task so far."""
        self._errors = np.zeros(0, np.bool_)

    def reset(self) -> None:
        """A task has ended."""
        self.detector.reset()
        self.seen = 0
        self._errors = self._errors[:0]

    def see(self, wrong: Errors) -> Alarm | None:
        """The next errors ``[n]``, in order; those behind an alarm are seen all the same."""
        index = self.detector.alarmed(wrong)
        alarm = None
        if index is not None:
            alarm = self._alarm(wrong[: index + 1])
            # The rest belongs to a task whose end is now known, or to one that is watched anew.
            self.detector.reset()
        self._errors = np.concatenate((self._errors, wrong))[-self.options.window_samples :]
        self.seen += len(wrong)
        return alarm

    def _alarm(self, wrong: Errors) -> Alarm:
        errors = np.concatenate((self._errors, wrong))[-self.options.window_samples :]
        end = self.seen + len(wrong)
        cut = find_cut(errors)
        return Alarm(end - 1, end - len(errors) + cut.index, cut.evidence)

    def state(self) -> dict[str, npt.NDArray[np.uint8]]:
        """Everything that it goes on from, to the bit."""
        return {
            "detector": np.frombuffer(self.detector.state(), np.uint8),
            "errors": self._errors.view(np.uint8),
            "seen": np.frombuffer(self.seen.to_bytes(8, "little"), np.uint8),
        }

    def load(self, state: dict[str, npt.NDArray[np.uint8]]) -> None:
        """Take over the `state` of an equal watch.

        Raises:
            CheckpointError: it is another detector's, or another version's.
        """
        self.detector.load(state["detector"].tobytes())
        self._errors = state["errors"].astype(np.bool_)
        self.seen = int.from_bytes(state["seen"].tobytes(), "little")
