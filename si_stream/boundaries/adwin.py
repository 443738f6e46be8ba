"""ADWIN: a window of errors that shrinks by itself when its older part no longer holds.

Invariant: the window holds the newest errors, in which no older and newer part differ more than
chance explains; when the older part has to go, the rest either is worse, which alarms, or better.

Reference: Bifet & Gavaldà, "Learning from time-changing data with adaptive windowing", Proc. SIAM
Data Mining (2007).
"""

from __future__ import annotations

from operator import length_hint

import numpy as np

from si_stream.boundaries.detectors import Detector, Values

# As in river. Where nothing changes (floors of 5 to 20 % errors) it cries wolf once in some
# 8 million samples, and with a tenth of the labels wrong it finds 38 of 40 changes of split MNIST.
# 0.0005: once in 50 million, and 37.
SIGNIFICANCE = 0.002


class Adwin(Detector):
    """Looks every 32 samples. 0.1 µs a sample."""

    name = "adwin"

    def reset(self) -> None:
        # The compiled part alone. river's wrapper around it costs a second to import, and empties
        # the window after an improvement too: while a task is learned it would know little.
        from river._river_rust.drift import AdaptiveWindowing

        self._window = AdaptiveWindowing(delta=SIGNIFICANCE)

    def alarmed(self, wrong: Values) -> int | None:
        window = self._window
        values = wrong.astype(np.float64).tolist()
        unseen = iter(values)
        start, width, total = 0, window.get_width(), window.get_total()
        while any(map(window.update, unseen)):  # stops at the first at which the window shrinks
            end = len(values) - length_hint(unseen)
            rate_before = (total + sum(values[start:end])) / (width + end - start)
            start, width, total = end, window.get_width(), window.get_total()
            if total / width > rate_before:
                self.reset()
                return end - 1
        return None

    def _state(self) -> bytes:
        state: bytes = self._window.__getstate__()
        return state

    def _load(self, state: bytes) -> None:
        self._window.__setstate__(state)
