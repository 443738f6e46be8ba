"""Update kernels: the optimiser's step, the penalty and the path integral in one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from si_stream.errors import SettingsError

if TYPE_CHECKING:
    from si_stream.learning.kernels.interface import Kernel


def choose_kernel(kind: str, device: str, threads: int) -> Kernel:
    """The kernel of that name: ``auto`` is ``numba`` on a CPU and ``compiled`` on a GPU.

    Raises:
        SettingsError: it does not run on that device.
    """
    if kind == "auto":
        kind = "numba" if device == "cpu" else "compiled"
    if kind == "numba":
        if device != "cpu":
            raise SettingsError(
                f"compute.kernel is 'numba', which runs on the cpu, and the device is {device!r}; "
                "set compute.kernel to 'auto', 'compiled' or 'plain'"
            )
        from si_stream.learning.kernels.fused import FusedKernel

        return FusedKernel(threads)
    if kind == "compiled":
        from si_stream.learning.kernels.compiled import CompiledKernel

        return CompiledKernel()
    from si_stream.learning.kernels.plain import PlainKernel

    return PlainKernel()
