"""The watch over a task: its signals, a detector that is fed each, and where a change was.

Invariant: what it says follows from the samples since the last boundary alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from si_stream.boundaries.cut import find_cut, log_ratios
from si_stream.boundaries.detectors import Values, build_detector
from si_stream.boundaries.options import DetectionOptions, SignalName
from si_stream.boundaries.signals import (
    USUAL_SHARE,
    Arrays,
    Inputs,
    Seen,
    Signal,
    build_signal,
)


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
        self._samples = np.zeros(0, np.int64)
        """Which samples of the task the values are of."""

    def reset(self) -> None:
        self.signal.reset()
        self.detector.reset()
        self._values, self._samples = self._values[:0], self._samples[:0]

    def see(self, seen: Seen, first: int) -> int | None:
        """The next samples, of which the first is number ``first``; the number of one that alarms.

        Those behind it are seen all the same.
        """
        rows, values = self.signal.read(seen, first)
        index = self.detector.alarmed(values)
        if index is not None:
            # The rest belongs to a task whose end is now known, or to one that is watched anew.
            self.detector.reset()
        every: Any = np.concatenate((self._values, values))
        samples = np.concatenate((self._samples, rows + first))
        # Of the last samples, few values as there may be of them: a copy from before is kept.
        oldest = int(np.searchsorted(samples, first + len(seen.labels) - self.window_samples))
        self._values, self._samples = every[oldest:], samples[oldest:]
        return None if index is None else first + int(rows[index])

    def cut(self, until: int) -> tuple[int, float]:
        """The first sample of what is new, as the values up to a sample say, and the evidence.

        Between two samples that have values it is in the middle.
        """
        count = int(np.searchsorted(self._samples, until, side="right"))
        cut = find_cut(self._values[:count])
        if cut.index == count:
            return until + 1, 0.0
        before, behind = self._samples[cut.index - 1], self._samples[cut.index]
        return int(before + behind + 1) // 2, cut.evidence

    def between(self, begin: int, end: int) -> Values:
        """The values that are kept of these samples."""
        here = slice(*np.searchsorted(self._samples, (begin, end)))
        return self._values[here]

    def state(self) -> Arrays:
        own = {f"signal.{name}": array for name, array in self.signal.state().items()}
        detector = np.frombuffer(self.detector.state(), np.uint8)
        values: npt.NDArray[Any] = self._values
        if values.dtype == np.bool_:
            values = values.view(np.uint8)
        return {"detector": detector, "errors": values, "samples": self._samples, **own}

    def load(self, state: Mapping[str, npt.NDArray[Any]], seen: int) -> None:
        self.detector.load(state["detector"].tobytes())
        values = state["errors"]
        are_bits = values.dtype == np.uint8
        self._values = values.astype(np.bool_) if are_bits else values.astype(np.float64)
        latest = np.arange(seen - len(values), seen)  # as of before samples could be left out
        self._samples = state.get("samples", latest).astype(np.int64)
        prefix = "signal."
        own = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        self.signal.load(own)


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

    def see(self, seen: Seen) -> Alarm | None:
        """The next samples, in order.

        Returns the first alarm, of two at the same sample that of the signal named first; with the
        cut of that signal which has the most evidence of one.
        """
        alarms = [(watch.see(seen, self.seen), watch.name) for watch in self.watches]
        self.seen += len(seen.labels)
        raised = [(sample, name) for sample, name in alarms if sample is not None]
        if not raised:
            return None
        sample, name = min(raised, key=lambda one: one[0])
        cuts = [watch.cut(sample) for watch in self.watches]
        cut, evidence = max(cuts, key=lambda one: one[1])
        return Alarm(sample, self._sharpened(cut, sample), evidence, name)

    def _sharpened(self, cut: int, alarmed: int) -> int:
        """The cut, by all that is known of each of the last samples: a head of two labels is right
        about half of a new world by chance, but few of its inputs look usual."""
        by_name = {watch.name: watch for watch in self.watches}
        errors, inputs = by_name.get("errors"), by_name.get("inputs")
        if errors is None or inputs is None or not isinstance(inputs.signal, Inputs):
            return cut
        unusual = inputs.signal.latest()
        first = self.seen - len(unusual)
        unusual = unusual[: alarmed + 1 - first]
        if not first <= cut <= alarmed or not len(unusual):
            return cut
        wrong = errors.between(0, alarmed + 1)
        began = alarmed + 1 - len(wrong)
        ratios = np.zeros(len(unusual))
        for values, split, usual in (
            (wrong, cut - began, _rate(wrong[: cut - began])),
            (unusual, cut - first, 1 - USUAL_SHARE),
        ):
            behind = _rate(values[split:])
            if behind > 2 * usual:
                ratios += log_ratios(values[-len(ratios) :], usual, behind)
        if not ratios.any():
            return cut
        return first + int(np.argmax(np.cumsum(ratios[::-1])[::-1]))

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
                watch.load(own, self.seen)


def _rate(values: Values) -> float:
    """Of ones, and not quite 0 or 1 (Laplace)."""
    return (float(values.sum()) + 1) / (len(values) + 2)


def _prefix(watch: Watch) -> str:
    """Errors were watched before there was a choice: theirs have no name before them."""
    return "" if watch.name == "errors" else f"{watch.name}/"
