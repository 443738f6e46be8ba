"""The update kernels against one another, one step at a time."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from si_stream.errors import SettingsError
from si_stream.learning.kernels import choose_kernel
from si_stream.learning.kernels.fused import WORTH_A_THREAD, FusedKernel
from si_stream.learning.kernels.interface import AdamStep, Kernel, SgdStep, Synapses
from si_stream.learning.kernels.plain import PlainKernel

ADAM = AdamStep(rate=1e-3, epsilon=1e-8, beta1=0.9, beta2=0.999)
NAMES = ("weights", "path_integral", "importance", "reference", "m", "v", "gradient")


def numbers(n: int, dtype: torch.dtype, kept: bool) -> dict[str, Tensor]:
    """A weight's numbers as they are in the middle of a task; without SI's where not ``kept``."""
    source = torch.Generator().manual_seed(n)
    made = {name: torch.randn(n, generator=source).to(dtype) for name in NAMES}
    for name in ("importance", "v"):
        made[name] = made[name].abs()
    if not kept:
        for name in ("path_integral", "importance", "reference"):
            del made[name]
    return made


def synapses_of(at: dict[str, Tensor]) -> Synapses:
    return Synapses(
        at["weights"], at.get("path_integral"), at.get("importance"), at.get("reference")
    )


def step(kernel: Kernel, kind: str, n: int, dtype: torch.dtype, kept: bool = True) -> list[Tensor]:
    """All numbers after one step from those of `numbers`."""
    at = numbers(n, dtype, kept)
    synapses = synapses_of(at)
    if kind == "adam":
        kernel.adam(synapses, at["m"], at["v"], at["gradient"], ADAM, 0.3)
    else:
        kernel.sgd(synapses, at["gradient"], SgdStep(rate=1e-3), 0.3)
    return list(at.values())


@pytest.mark.parametrize("kept", [True, False], ids=["with-si", "without"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("kind", ["adam", "sgd"])
def test_the_fused_step_is_the_plain_one_up_to_rounding(
    kind: str, dtype: torch.dtype, kept: bool
) -> None:
    fused = step(FusedKernel(), kind, 1003, dtype, kept)
    plain = step(PlainKernel(), kind, 1003, dtype, kept)
    few_ulps = 8 * torch.finfo(dtype).eps
    for a, b in zip(fused, plain, strict=True):
        torch.testing.assert_close(a, b, rtol=few_ulps, atol=few_ulps)


@pytest.mark.parametrize("kind", ["adam", "sgd"])
def test_the_fused_step_gives_the_same_bits_in_three_threads(kind: str) -> None:
    n = 3 * WORTH_A_THREAD + 1001
    one = step(FusedKernel(threads=1), kind, n, torch.float32)
    three = step(FusedKernel(threads=3), kind, n, torch.float32)
    assert all(torch.equal(a, b) for a, b in zip(one, three, strict=True))


def test_a_weights_bits_do_not_depend_on_how_many_are_beside_it() -> None:
    many = step(FusedKernel(), "adam", 1003, torch.float32)
    at = {name: value[5:6].clone() for name, value in numbers(1003, torch.float32, True).items()}
    synapses = synapses_of(at)
    FusedKernel().adam(synapses, at["m"], at["v"], at["gradient"], ADAM, 0.3)
    assert all(torch.equal(a[5:6], b) for a, b in zip(many, at.values(), strict=True))


@pytest.mark.parametrize("kernel", [FusedKernel(), PlainKernel()], ids=lambda kernel: kernel.name)
def test_the_path_integral_counts_the_step_that_rounding_left(kernel: Kernel) -> None:
    """1 − 10⁻⁹ is 1 in float32: the weight did not move, so it contributed nothing."""
    one, path_integral, zero = torch.ones(4), torch.zeros(4), torch.zeros(4)
    kernel.sgd(Synapses(one, path_integral, zero, zero), torch.ones(4), SgdStep(rate=1e-9), 1.0)
    assert one.eq(1).all()
    assert path_integral.eq(0).all()


@pytest.mark.usefixtures("cpp_compiler")
@pytest.mark.parametrize("kind", ["adam", "sgd"])
def test_the_compiled_step_is_the_plain_one_up_to_rounding(kind: str) -> None:
    few_ulps = 8 * torch.finfo(torch.float32).eps
    made = step(choose_kernel("compiled", "cpu", threads=1), kind, 1003, torch.float32)
    for a, b in zip(made, step(PlainKernel(), kind, 1003, torch.float32), strict=True):
        torch.testing.assert_close(a, b, rtol=few_ulps, atol=few_ulps)


def test_auto_is_numba_on_a_cpu_and_compiled_on_a_gpu() -> None:
    assert choose_kernel("auto", "cpu", threads=1).name == "numba"
    assert choose_kernel("auto", "cuda", threads=1).name == "compiled"


def test_numba_is_refused_on_a_gpu() -> None:
    with pytest.raises(SettingsError, match=r"compute.kernel is 'numba'.*'cuda'.*'auto'"):
        choose_kernel("numba", "cuda", threads=1)
