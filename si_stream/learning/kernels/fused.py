"""The update in one pass over memory, on the CPU (Numba).

Per weight and step it reads θ, g, m, v, ω, Ω, θ̃ and writes θ, m, v, ω: 44 bytes, against the 28
of Adam alone. Invariant: a weight's bits depend on its own numbers only, not on how many weights
or threads there are.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from itertools import pairwise
from typing import Any
from weakref import ref

import numpy as np
import numpy.typing as npt
from torch import Tensor

from si_stream.compiling import compiled
from si_stream.learning.kernels.interface import AdamStep, Kernel, SgdStep, Synapses

Array = npt.NDArray[Any]

WORTH_A_THREAD = 1 << 16  # weights; below it, handing work over costs more than it saves


@compiled
def _adam(
    theta: Array,
    g: Array,
    m: Array,
    v: Array,
    omega: Array,
    importance: Array,
    reference: Array,
    numbers: tuple[Any, ...],
    penalised: bool,
    integrated: bool,
) -> None:
    of = theta.dtype.type
    rate, epsilon, twice_c = of(numbers[0]), of(numbers[1]), of(numbers[6])
    beta1, rest1, beta2, rest2 = of(numbers[2]), of(numbers[3]), of(numbers[4]), of(numbers[5])
    for i in range(theta.size):
        old = theta[i]
        total = g[i]
        if penalised:
            total = g[i] + twice_c * importance[i] * (old - reference[i])
        m[i] = beta1 * m[i] + rest1 * total
        v[i] = beta2 * v[i] + rest2 * total * total
        new = old - rate * m[i] / (np.sqrt(v[i]) + epsilon)
        theta[i] = new
        if integrated:
            omega[i] -= g[i] * (new - old)


@compiled
def _sgd(
    theta: Array,
    g: Array,
    omega: Array,
    importance: Array,
    reference: Array,
    numbers: tuple[Any, ...],
    penalised: bool,
    integrated: bool,
) -> None:
    rate, twice_c = theta.dtype.type(numbers[0]), theta.dtype.type(numbers[1])
    for i in range(theta.size):
        old = theta[i]
        total = g[i]
        if penalised:
            total = g[i] + twice_c * importance[i] * (old - reference[i])
        new = old - rate * total
        theta[i] = new
        if integrated:
            omega[i] -= g[i] * (new - old)


class FusedKernel(Kernel):
    """Args:
    threads: over which a large parameter is spread; the bits do not depend on it.
    """

    name = "numba"

    def __init__(self, threads: int = 1) -> None:
        self.threads = threads
        self._pool = ThreadPoolExecutor(threads, "update") if threads > 1 else None
        self._arrays: dict[int, tuple[ref[Tensor], Array]] = {}

    def adam(
        self, at: Synapses, m: Tensor, v: Tensor, gradient: Tensor, step: AdamStep, strength: float
    ) -> None:
        beta1, beta2 = step.beta1, step.beta2
        numbers = (step.rate, step.epsilon, beta1, 1 - beta1, beta2, 1 - beta2, 2 * strength)
        self._run(_adam, at, (m, v), gradient, numbers)

    def sgd(self, at: Synapses, gradient: Tensor, step: SgdStep, strength: float) -> None:
        self._run(_sgd, at, (), gradient, (step.rate, 2 * strength))

    def _run(
        self,
        kernel: Callable[..., None],
        at: Synapses,
        moments: tuple[Tensor, ...],
        gradient: Tensor,
        numbers: tuple[float, ...],
    ) -> None:
        theta = self._array(at.weights)
        arrays = [theta, gradient.numpy(), *(self._array(moment) for moment in moments)]
        arrays += [
            theta[:0] if view is None else self._array(view)
            for view in (at.path_integral, at.importance, at.reference)
        ]
        flags = (at.importance is not None, at.path_integral is not None)
        if self._pool is None or theta.size < self.threads * WORTH_A_THREAD:
            kernel(*arrays, numbers, *flags)
            return
        edges = np.linspace(0, theta.size, self.threads + 1).astype(int)
        parts = [
            self._pool.submit(kernel, *(a[i:j] for a in arrays), numbers, *flags)
            for i, j in pairwise(edges)
        ]
        for part in wait(parts).done:
            part.result()

    def _array(self, view: Tensor) -> Array:
        """A view as an array, made once: for a small parameter it takes longer than the update.

        It goes with the view, so that a head that a rewind takes away leaves nothing behind.
        """
        known = self._arrays.get(id(view))
        if known is None or known[0]() is not view:
            gone = partial(self._forget, id(view))
            array = view.detach().numpy()  # of the same memory, and does not hold the view itself
            known = self._arrays[id(view)] = (ref(view, gone), array)
        return known[1]

    def _forget(self, key: int, gone: ref[Tensor]) -> None:
        if (known := self._arrays.get(key)) is not None and known[0] is gone:
            del self._arrays[key]
