"""The flat buffers: alignment, padding, size, and copying a state."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from si_stream.errors import SettingsError
from si_stream.learning.parameters import ALIGNMENT_BYTES, WEIGHTS, ParameterGroup
from tests.learning.building import Batches, Build


def test_the_module_uses_the_buffer_and_keeps_its_values() -> None:
    module = nn.Sequential(nn.Linear(5, 3), nn.Linear(3, 2))
    before = [parameter.detach().clone() for parameter in module.parameters()]
    group = ParameterGroup(module)
    assert all(torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True))
    group[WEIGHTS].zero_()
    assert all(not parameter.any() for parameter in module.parameters())


def test_every_view_of_every_buffer_starts_on_64_bytes() -> None:
    group = ParameterGroup(nn.Sequential(nn.Linear(5, 3), nn.Linear(3, 7), nn.Linear(7, 1)))
    for name in ("moment", "importance"):
        group.add(name)
    starts = [view.data_ptr() for piece in group.pieces for view in piece.views.values()]
    assert len(starts) == 6 * 3
    assert all(start % ALIGNMENT_BYTES == 0 for start in starts)


@pytest.mark.parametrize("kernel", ["numba", "plain"])
def test_the_padding_between_parameters_stays_zero_while_learning(
    build: Build, batches: Batches, kernel: str
) -> None:
    learner = build(compute={"kernel": kernel})
    for task in range(2):
        for x, y in batches(5, task):
            learner.learn(x, y, head=task)
        learner.consolidate(head=task)
    for group in (learner.trunk, *learner.heads):
        inside = torch.zeros_like(group[WEIGHTS], dtype=torch.bool)
        for piece in group.pieces:
            inside[piece.start : piece.start + piece.size] = True
        assert not inside.all()
        assert group.buffers.keys() >= {"first_moment", "path_integral", "importance"}
        assert all(not buffer[~inside].any() for buffer in group.buffers.values())


def test_learning_keeps_28_bytes_a_parameter(build: Build, batches: Batches) -> None:
    learner = build({"network": {"hidden": (128, 64)}})
    learner.open_heads(1)
    groups = (learner.trunk, *learner.heads)
    gradients: list[int] = []
    for group in groups:
        for piece in group.pieces:
            # PyTorch's own has no types.
            piece.parameter.register_post_accumulate_grad_hook(  # type: ignore[no-untyped-call]
                lambda parameter: gradients.append(parameter.grad.untyped_storage().nbytes())
            )
    learner.learn(*batches(1)[0], head=0)
    parameters = sum(group.size for group in groups)
    kept = [b.untyped_storage().nbytes() for group in groups for b in group.buffers.values()]
    padding = sum(6 * ALIGNMENT_BYTES * len(group.pieces) for group in groups)
    assert 0 <= sum(kept) + sum(gradients) - 28 * parameters <= padding
    assert all(piece.parameter.grad is None for group in groups for piece in group.pieces)


def test_parameters_that_need_no_gradient_are_kept_but_not_learned() -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.BatchNorm1d(2))
    module[0].requires_grad_(False)
    group = ParameterGroup(module)
    assert [piece.name for piece in group.pieces] == ["1.weight", "1.bias", "2.weight", "2.bias"]
    assert {"module.0.weight", "module.0.bias", "module.2.running_mean"} <= group.state().keys()

    other = ParameterGroup(nn.Sequential(nn.Linear(2, 2).requires_grad_(False), *module[1:]))
    other.load_state({name: tensor + 1 for name, tensor in group.state().items()})
    assert torch.equal(other.module.get_parameter("0.weight"), module.get_parameter("0.weight") + 1)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({}, r"lacks \['weights'\]"),
        ({"weights": torch.zeros(32), "more": torch.zeros(1)}, r"unknown \['more'\]"),
        ({"weights": torch.zeros(3)}, r"weights: expected torch.float32 \[32\], found .* \[3\]"),
        ({"weights": torch.zeros(32, dtype=torch.float64)}, "found torch.float64"),
    ],
)
def test_a_state_that_does_not_fit_is_refused_and_changes_nothing(
    entries: dict[str, Tensor], message: str
) -> None:
    group = ParameterGroup(nn.Linear(3, 2))
    before = group[WEIGHTS].clone()
    with pytest.raises(ValueError, match=message):
        group.load_state(entries)
    assert torch.equal(group[WEIGHTS], before)


def test_weights_of_two_dtypes_or_of_half_precision_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"float32 on cpu, torch.float64 on cpu"):
        ParameterGroup(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2).double()))
    with pytest.raises(SettingsError, match="bfloat16"):
        ParameterGroup(nn.Linear(2, 2).bfloat16())


def test_a_module_without_parameters_makes_an_empty_group() -> None:
    assert ParameterGroup(nn.Flatten()).size == 0
