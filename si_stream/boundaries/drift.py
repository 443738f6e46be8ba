"""The watch over a task: its signals, a detector that is fed each, and where a change was.

Invariant: what it says follows from the samples since the last boundary alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from torch import Tensor

from si_stream.boundaries.cut import find_cut
from si_stream.boundaries.detectors import Values, build_detector
from si_stream.boundaries.options import DetectionOptions, SignalName
from si_stream.boundaries.signals import Arrays, Signal, build_signal


class Alarm(NamedTuple):
    """A signal has risen.

    ``sample`` alarmed, and ``cut`` is the first of what is new, both counted from the task's
    first sample, 0; ``evidence`` is the cut's log likelihood ratio in nats.
    """

    sample: int
    cut: int
    evidence: float
    signal: SignalName


class Watch:
    """One signal, its detector, and its last values.

    Args:
        options: what to detect with, and how many values to look for a cut among.
    """

    def __init__(self, name: SignalName, signal: Signal, options: DetectionOptions) -> None:
        assert options.kind != "off"
        self.name = name
        self.signal = signal
        self.window_samples = options.window_samples
        self.detector = build_detector(options.kind)
        self._values: Values = np.zeros(0, np.bool_)

    def reset(self) -> None:
        self.signal.reset()
        self.detector.reset()
        self._values = self._values[:0]

    def see(self, values: Values, seen: int) -> Alarm | None:
        """The next values ``[n]``, behind ``seen`` others of the task."""
        index = self.detector.alarmed(values)
        alarm = None
        if index is not None:
            alarm = self._alarm(values[: index + 1], seen)
            # The rest belongs to a task whose end is now known, or to one that is watched anew.
            self.detector.reset()
        self._values = self._followed_by(values)
        return alarm

    def state(self) -> Arrays:
        own = {f"signal.{name}": array for name, array in self.signal.state().items()}
        detector = np.frombuffer(self.detector.state(), np.uint8)
        is_bits = self._values.dtype == np.bool_
        values: npt.NDArray[Any] = self._values
        if is_bits:
            values = values.view(np.uint8)
        return {"detector": detector, "errors": values, **own}

    def load(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        self.detector.load(state["detector"].tobytes())
        values = state["errors"]
        are_bits = values.dtype == np.uint8
        self._values = values.astype(np.bool_) if are_bits else values.astype(np.float64)
        prefix = "signal."
        own = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        self.signal.load(own)

    def _alarm(self, values: Values, seen: int) -> Alarm:
        latest = self._followed_by(values)
        end = seen + len(values)
        cut = find_cut(latest)
        return Alarm(end - 1, end - len(latest) + cut.index, cut.evidence, self.name)

    def _followed_by(self, values: Values) -> Values:
        latest: Any = np.concatenate((self._values, values))
        kept: Values = latest[-self.window_samples :]
        return kept


class DriftWatch:
    """Args:
    options: which signals to watch, and how.
    input_shape: of one input.
    labels: that a task may have.
    """

    def __init__(
        self, options: DetectionOptions, input_shape: tuple[int, ...], labels: int
    ) -> None:
        self.watches = [
            Watch(name, build_signal(name, input_shape, labels), options)
            for name in options.signals
        ]
        self.seen = 0
        """Samples of the task so far."""

    def reset(self) -> None:
        """A task has ended."""
        for watch in self.watches:
            watch.reset()
        self.seen = 0

    def see(self, inputs: Tensor, labels: Tensor, logits: Tensor, wrong: Tensor) -> Alarm | None:
        """The next samples ``[n]``, in order; those behind an alarm are seen all the same.

        Returns the first alarm, of two at the same sample that of the signal named first.
        """
        alarms = [
            watch.see(watch.signal.values(inputs, labels, logits, wrong), self.seen)
            for watch in self.watches
        ]
        self.seen += len(labels)
        raised = [alarm for alarm in alarms if alarm is not None]
        return min(raised, key=lambda alarm: alarm.sample, default=None)

    def state(self) -> Arrays:
        """Everything that it goes on from, to the bit."""
        arrays: Arrays = {"seen": np.frombuffer(self.seen.to_bytes(8, "little"), np.uint8)}
        for watch in self.watches:
            arrays |= {_prefix(watch) + name: array for name, array in watch.state().items()}
        return arrays

    def load(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take over the `state` of a watch over the same signals.

        A signal that was not watched then is watched from here on.

        Raises:
            CheckpointError: it is another detector's, or another version's.
        """
        self.seen = int.from_bytes(state["seen"].tobytes(), "little")
        for watch in self.watches:
            prefix = _prefix(watch)
            own = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
            if "detector" in own:
                watch.load(own)


def _prefix(watch: Watch) -> str:
    """Errors were watched before there was a choice: theirs have no name before them."""
    return "" if watch.name == "errors" else f"{watch.name}/"
