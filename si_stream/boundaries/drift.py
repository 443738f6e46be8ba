"""The watch over a task: its signals, a detector that is fed each, and where a change was.

Invariant: what it says follows from the samples since the last boundary alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from si_stream.boundaries.cut import find_cut, log_ratios
from si_stream.boundaries.detectors import Values, build_detector, kind_of
from si_stream.boundaries.options import DetectionOptions, SignalName
from si_stream.boundaries.signals import (
    USUAL_SHARE,
    Arrays,
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


class History(NamedTuple):
    """The numbers of the task's last samples, rising, and the value of each."""

    samples: npt.NDArray[np.int64]
    values: Values

    def up_to(self, sample: int) -> History:
        count = int(np.searchsorted(self.samples, sample, side="right"))
        return History(self.samples[:count], self.values[:count])

    def since(self, sample: int) -> History:
        first = int(np.searchsorted(self.samples, sample))
        return History(self.samples[first:], self.values[first:])

    def without_gaps(self) -> History:
        """The last part, in which no sample is left out."""
        gaps = np.flatnonzero(np.diff(self.samples) > 1)
        first = int(gaps[-1]) + 1 if len(gaps) else 0
        return History(self.samples[first:], self.values[first:])


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
        self._parts: deque[History] = deque()
        """As they came, from the one on that the window begins in."""

    def reset(self) -> None:
        self.signal.reset()
        self.detector.reset()
        self._parts.clear()

    def see(self, seen: Seen, first: int) -> int | None:
        """The next samples, of which the first is number ``first``; the number of one that alarms.

        Those behind it are seen all the same.
        """
        samples, values = self.signal.read(seen, first)
        index = self.detector.alarmed(values) if len(values) else None
        if index is not None:
            # The rest belongs to a task whose end is now known, or to one that is watched anew.
            self.detector.reset()
        if len(samples):
            self._parts.append(History(samples, values))
        oldest = first + len(seen.labels) - self.window_samples
        while self._parts and self._parts[0].samples[-1] < oldest:
            self._parts.popleft()
        return None if index is None else int(samples[index])

    def history(self, seen: int) -> History:
        """Of the last samples, once so many of the task are seen, with all that its signal can
        tell of them."""
        latest = self.signal.latest()
        first = seen - len(latest)
        before = self._read(seen).up_to(first - 1)
        return joined([before, History(np.arange(first, seen), latest)])

    def state(self, seen: int) -> Arrays:
        own = {f"signal.{name}": array for name, array in self.signal.state().items()}
        detector = np.frombuffer(self.detector.state(), np.uint8)
        samples, read = self._read(seen)
        values: npt.NDArray[Any] = read.view(np.uint8) if read.dtype == np.bool_ else read
        return {"detector": detector, "errors": values, "samples": samples, **own}

    def load(self, state: Mapping[str, npt.NDArray[Any]], seen: int) -> None:
        saved = state["detector"].tobytes()
        if kind_of(saved) == self.detector.name:  # else it was changed on purpose, and begins anew
            self.detector.load(saved)
        values = state["errors"]
        are_bits = values.dtype == np.uint8
        read: Values = values.astype(np.bool_) if are_bits else values.astype(np.float64)
        latest = np.arange(seen - len(values), seen)  # as of before samples could be left out
        samples = state.get("samples", latest).astype(np.int64)
        self._parts = deque([History(samples, read)] if len(samples) else [])
        prefix = "signal."
        own = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        self.signal.load(own, seen)

    def _read(self, seen: int) -> History:
        """Of the window, few values as there may be: it is of so many samples, since a copy of the
        state from before is kept."""
        return joined(self._parts).since(seen - self.window_samples)


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
            Watch(name, build_signal(name, input_shape, labels, options.window_samples), options)
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
        histories = {w.name: w.history(self.seen).up_to(sample) for w in self.watches}
        cuts = [first_of_new(history, sample) for history in histories.values()]
        cut, evidence = max(cuts, key=lambda one: one[1])
        return Alarm(sample, sharpened(cut, histories), evidence, name)

    def state(self) -> Arrays:
        """Everything that it goes on from, to the bit."""
        arrays: Arrays = {"seen": np.frombuffer(self.seen.to_bytes(8, "little"), np.uint8)}
        for watch in self.watches:
            own = watch.state(self.seen).items()
            arrays |= {_prefix(watch) + name: array for name, array in own}
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


def joined(parts: Iterable[History]) -> History:
    """One after the other."""
    samples, values = zip(
        History(np.zeros(0, np.int64), np.zeros(0, np.bool_)), *parts, strict=True
    )
    every: Any = np.concatenate(values)
    return History(np.concatenate(samples), every)


def first_of_new(history: History, alarmed: int) -> tuple[int, float]:
    """The first sample of what is new, as one signal's values up to an alarm say, and the evidence.

    Between two samples that have values it is in the middle.
    """
    samples, values = history
    cut = find_cut(values)
    if cut.index == len(values):
        return alarmed + 1, 0.0
    return int(samples[cut.index - 1] + samples[cut.index] + 1) // 2, cut.evidence


def sharpened(cut: int, histories: Mapping[SignalName, History]) -> int:
    """The cut, by all that is known of each sample around it: a head of two labels is right about
    half of a new world by chance, but few of its inputs look usual."""
    if not histories.keys() >= {"errors", "inputs"}:
        return cut
    errors, inputs = histories["errors"], histories["inputs"].without_gaps()
    if len(errors.samples):  # which may have been watched from later on
        inputs = inputs.since(int(errors.samples[0]))
    if not len(inputs.samples) or not inputs.samples[0] <= cut <= inputs.samples[-1]:
        return cut
    ratios = np.zeros(len(inputs.samples))
    for history, usual in ((errors, rate(errors.up_to(cut - 1))), (inputs, 1 - USUAL_SHARE)):
        behind = rate(history.since(cut))
        if behind > 2 * usual:
            ratios += log_ratios(history.since(int(inputs.samples[0])).values, usual, behind)
    if not ratios.any():
        return cut
    return int(inputs.samples[np.argmax(np.cumsum(ratios[::-1])[::-1])])


def rate(history: History) -> float:
    """Of ones, and not quite 0 or 1 (Laplace)."""
    return (float(history.values.sum()) + 1) / (len(history.values) + 2)


def _prefix(watch: Watch) -> str:
    """Errors were watched before there was a choice: theirs have no name before them."""
    return "" if watch.name == "errors" else f"{watch.name}/"
