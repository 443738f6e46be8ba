"""Detectors for comparison, which river has in Python: Page-Hinkley, HDDM and KSWIN.

Invariant: each holds one of river's that has not alarmed since it was made; after an alarm there is
a new one.
"""

from __future__ import annotations

import json
from collections import deque
from typing import Any

from si_stream.boundaries.detectors import Detector, Values


class RiverDetector(Detector):
    _detector: Any

    def alarmed(self, wrong: Values) -> int | None:
        detector = self._detector
        for index, error in enumerate(wrong.tolist()):
            detector.update(error)
            if detector.drift_detected:
                self.reset()
                return index
        return None


class PageHinkley(RiverDetector):
    """Errors beyond their mean add up, less 5 points of rate each; 25 above the lowest sum alarm.

    1 µs a sample. The sum does not fade (``alpha``): if it did it would forget the allowance too,
    and any noise would add up in the end.

    Reference: Page, "Continuous inspection schemes", Biometrika 41 (1954).
    """

    name = "page-hinkley"

    def reset(self) -> None:
        from river.drift import PageHinkley as River

        self._detector = River(delta=0.05, threshold=25.0, alpha=1.0, mode="up")

    def _state(self) -> bytes:
        sums = self._detector._sum_increase, self._detector._min_increase
        return json.dumps([_values(self._detector._x_mean), *sums]).encode()

    def _load(self, state: bytes) -> None:
        self.reset()
        mean, self._detector._sum_increase, self._detector._min_increase = json.loads(state)
        self._detector._x_mean = _mean(mean)


class Hddm(RiverDetector):
    """HDDM_A: the mean of all errors against the lowest that it was, by Hoeffding's inequality.

    12 µs a sample. The variant A, since W's weight of recent errors would have to be tuned.

    Reference: Frías-Blanco et al., "Online and non-parametric drift detection methods based on
    Hoeffding's bounds", IEEE Transactions on Knowledge and Data Engineering 27 (2015).
    """

    name = "hddm"
    _means = ("_z", "_x_min", "_x_max")

    def reset(self) -> None:
        from river.drift.binary import HDDMA

        self._detector = HDDMA(drift_confidence=1e-6, warning_confidence=1e-6)

    def _state(self) -> bytes:
        return json.dumps([_values(getattr(self._detector, name)) for name in self._means]).encode()

    def _load(self, state: bytes) -> None:
        self.reset()
        for name, mean in zip(self._means, json.loads(state), strict=True):
            setattr(self._detector, name, _mean(mean))


class Kswin(RiverDetector):
    """The last 60 errors against 60 drawn from the 140 before, by the Kolmogorov-Smirnov test.

    0.7 ms a sample. A change for the better empties its window as an alarm does.

    Reference: Raab, Heusinger & Schleif, "Reactive soft prototype computing for concept drift
    streams", Neurocomputing 416 (2020).
    """

    name = "kswin"
    _window, _newest = 200, 60

    def reset(self) -> None:
        from river.drift import KSWIN

        self._detector = KSWIN(1e-4, self._window, self._newest, seed=0)

    def alarmed(self, wrong: Values) -> int | None:
        errors = [*self._detector.window, *wrong.tolist()]
        known, start = len(errors) - len(wrong), 0
        while (index := super().alarmed(wrong[start:])) is not None:
            start += index + 1
            window = errors[known + start - self._window : known + start]
            older, newest = window[: -self._newest], window[-self._newest :]
            if sum(newest) * len(older) > sum(older) * len(newest):
                return start - 1
        return None

    def _state(self) -> bytes:
        generator = self._detector._rng.getstate()
        return json.dumps([list(self._detector.window), generator]).encode()

    def _load(self, state: bytes) -> None:
        self.reset()
        window, (version, numbers, gauss) = json.loads(state)
        self._detector.window = deque(window, maxlen=self._window)
        self._detector._rng.setstate((version, tuple(numbers), gauss))


def _values(mean: Any) -> tuple[float, float]:
    return mean.n, mean.get()


def _mean(values: tuple[float, float]) -> Any:
    from river.stats import Mean

    return Mean._from_state(*values)
