"""Section 4 of the paper, found again by the real update kernel and consolidation.

Gradient descent in steps of η on a quadratic E = ½(θ−θ*)ᵀH(θ−θ*) adds up, in an eigenmode λ, to
λd²/(2−ηλ) where the continuous path has ½λd²: relatively ηλ/2 too much. The tolerances are that.
The published Eq. 13 lacks the ½ that Eq. 11 has.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from si_stream.learning.kernels import choose_kernel
from si_stream.learning.optimisers import build_optimiser
from si_stream.learning.options import OptimiserOptions
from si_stream.learning.parameters import IMPORTANCE, PATH_INTEGRAL, WEIGHTS, ParameterGroup
from si_stream.learning.synaptic_intelligence import SynapticIntelligence

RATE = 0.02
TIME = 20.0  # rate × steps: e⁻¹⁰ of the slowest mode, λ = 0.5, is left
HALF_STEP = RATE * 2.0 / 2  # ηλ/2 of the fastest mode of all tests, λ = 2
TOLERANCE = 1.1 * HALF_STEP

pytestmark = [
    pytest.mark.usefixtures("float64"),
    pytest.mark.parametrize("kernel", ["numba", "plain"]),
]


class Quadratic(NamedTuple):
    """E for each row of θ ``[S, n]``, added up."""

    hessian: Tensor
    minimum: Tensor

    def __call__(self, theta: Tensor) -> Tensor:
        d = theta - self.minimum
        return 0.5 * torch.einsum("si,ij,sj->", d, self.hessian, d)


class Points(nn.Module):
    def __init__(self, start: Tensor) -> None:
        super().__init__()
        self.theta = nn.Parameter(start.clone())


class Descent:
    """Gradient descent from one or several starts ``[S, n]`` at once."""

    def __init__(
        self, start: Tensor, kernel: str, consolidator: SynapticIntelligence | None = None
    ) -> None:
        self.points = Points(start)
        self.group = ParameterGroup(self.points)
        self.kernel = choose_kernel(kernel, "cpu", threads=1)
        self.consolidator = consolidator or SynapticIntelligence(strength=1.0, damping=1e-300)
        self.consolidator.attach(self.group)

    def run(self, loss: Quadratic, rate: float = RATE) -> Descent:
        optimiser = build_optimiser(OptimiserOptions(kind="sgd", learning_rate=rate))
        for _ in range(round(TIME / rate)):
            torch.autograd.backward(loss(self.points.theta))
            optimiser.begin_step()
            with torch.no_grad():
                optimiser.update(self.group, self.consolidator, self.kernel)
            self.group.drop_gradients()
        return self

    def of(self, buffer: str) -> Tensor:
        flat = self.group.pieces[0].views[buffer]
        return flat.view(self.points.theta.shape).clone()


def rotation(n: int, seed: int) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    q: Tensor = torch.linalg.qr(torch.randn(n, n, generator=source))[0]
    return q


def test_the_path_integrals_add_up_to_the_drop_of_the_loss(kernel: str) -> None:
    turn = rotation(4, 0)
    loss = Quadratic(turn @ torch.diag(torch.tensor([0.5, 1.0, 1.5, 2.0])) @ turn.T, torch.ones(4))
    start = torch.tensor([[2.0, -1.0, 0.5, 3.0]])
    errors = []
    for rate in (2 * RATE, RATE):
        descent = Descent(start, kernel).run(loss, rate)
        drop = loss(start) - loss(descent.of(WEIGHTS))
        errors.append(float(descent.of(PATH_INTEGRAL).sum() / drop) - 1)
    assert errors[1] == pytest.approx(0, abs=HALF_STEP)
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.05)  # → the drop as the rate → 0


def test_a_diagonal_hessian_gives_half_of_it_as_importance(kernel: str) -> None:
    diagonal = torch.tensor([0.5, 1.0, 2.0])
    loss = Quadratic(torch.diag(diagonal), torch.tensor([1.0, -2.0, 0.5]))
    descent = Descent(torch.tensor([[3.0, 1.0, 0.4]]), kernel).run(loss)
    descent.consolidator.consolidate(descent.group)
    torch.testing.assert_close(descent.of(IMPORTANCE)[0], diagonal / 2, rtol=TOLERANCE, atol=0)


def test_averaged_over_random_starts_the_path_integral_is_half_the_hessian(kernel: str) -> None:
    """Eq. 12: ⟨Q⟩ = ½σ²H, a ratio of means; the mean of the ratios does not converge."""
    turn, sigma = rotation(3, 1), 1.5
    hessian = turn @ torch.diag(torch.tensor([0.5, 1.0, 2.0])) @ turn.T
    minimum = torch.tensor([1.0, 0.0, -1.0])
    source = torch.Generator().manual_seed(2)
    random = torch.linalg.qr(torch.randn(64, 3, generator=source))[0]
    starts = minimum + sigma * 8 * random  # ⟨dᵢdⱼ⟩ = σ²δᵢⱼ exactly, over these 64
    descent = Descent(starts, kernel).run(Quadratic(hessian, minimum))
    mean_q = descent.of(PATH_INTEGRAL).mean(0)
    torch.testing.assert_close(mean_q / sigma**2, hessian.diag() / 2, rtol=TOLERANCE, atol=0)


def test_a_hessian_of_rank_one_gives_eq_14_and_half_its_eigenvalue_for_every_weight(
    kernel: str,
) -> None:
    eigenvalue, u = 2.0, torch.tensor([0.6, -0.64, 0.48])
    loss = Quadratic(eigenvalue * torch.outer(u, u), torch.zeros(3))
    start = torch.tensor([[1.0, 2.0, 4.0]])
    d = start[0] @ u
    descent = Descent(start, kernel).run(loss)
    expected = 0.5 * d**2 * u**2 * eigenvalue
    torch.testing.assert_close(descent.of(PATH_INTEGRAL)[0], expected, rtol=TOLERANCE, atol=0)
    descent.consolidator.consolidate(descent.group)
    halves = torch.full((3,), eigenvalue / 2)
    torch.testing.assert_close(descent.of(IMPORTANCE)[0], halves, rtol=TOLERANCE, atol=0)


@pytest.mark.parametrize("strength", [1.0, 0.5, 2.0])
def test_two_diagonal_quadratics_end_at_their_joint_minimum_at_strength_one(
    kernel: str, strength: float
) -> None:
    """Eq. 4 and Fig. 2: c = 1 weighs the old task's loss as the new one's, c another so."""
    first = Quadratic(torch.diag(torch.tensor([2.0, 0.5])), torch.tensor([1.0, -1.0]))
    second = Quadratic(torch.diag(torch.tensor([0.5, 1.0])), torch.tensor([-1.0, 2.0]))
    consolidator = SynapticIntelligence(strength, damping=1e-300)
    descent = Descent(torch.tensor([[3.0, 4.0]]), kernel, consolidator).run(first)
    consolidator.consolidate(descent.group)
    descent.run(second)

    def minimum(weight: float) -> Tensor:
        old, new = weight * first.hessian, second.hessian
        theta: Tensor = torch.linalg.solve(old + new, old @ first.minimum + new @ second.minimum)
        return theta

    torch.testing.assert_close(descent.of(WEIGHTS)[0], minimum(strength), rtol=0, atol=0.01)
    assert (minimum(1.0) - minimum(0.5)).abs().max() > 0.1
