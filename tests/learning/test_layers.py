"""Layers of ours beside PyTorch's: what they compute, and when."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from si_stream.learning.layers import (
    HAS_MKL,
    HAS_ONE_DNN,
    LEAST_PRODUCTS,
    LEAST_ROWS,
    LazyWideLinear,
    WideLinear,
)
from si_stream.learning.networks import cifar_cnn

INSIDE, OUTSIDE = 1000, 1024

with_mkl = pytest.mark.skipif(
    not (HAS_MKL and HAS_ONE_DNN), reason="PyTorch has no MKL with oneDNN beside it here"
)


def pair(dtype: torch.dtype = torch.float32) -> tuple[WideLinear, nn.Linear]:
    """One of ours and one of PyTorch's, of the same weights."""
    ours, theirs = (kind(INSIDE, OUTSIDE, dtype=dtype) for kind in (WideLinear, nn.Linear))
    theirs.load_state_dict(ours.state_dict())
    assert isinstance(ours, WideLinear)
    return ours, theirs


def rows(count: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.rand(count, INSIDE, dtype=dtype, generator=torch.Generator().manual_seed(0))


def learned(layer: nn.Linear, inputs: Tensor) -> list[Tensor]:
    """What a layer answers, and all gradients."""
    x = inputs.clone().requires_grad_()
    answer = layer(x)
    weights = torch.linspace(-1, 1, answer.numel()).view_as(answer)
    return [answer, *torch.autograd.grad((answer * weights).sum(), [x, *layer.parameters()])]


@with_mkl
def test_large_products_are_those_of_pytorchs_layer_up_to_rounding() -> None:
    ours, theirs = pair()
    inputs = rows(64)
    assert ours.is_large(inputs)
    for here, there in zip(learned(ours, inputs), learned(theirs, inputs), strict=True):
        assert here.layout == torch.strided
        torch.testing.assert_close(
            here, there, rtol=1e-4, atol=1e-4 * there.detach().abs().max().item()
        )


@pytest.mark.parametrize(
    ("count", "dtype"), [(1, torch.float32), (LEAST_ROWS - 1, torch.float32), (64, torch.float64)]
)
def test_few_rows_and_double_precision_are_left_to_pytorch_to_the_bit(
    count: int, dtype: torch.dtype
) -> None:
    ours, theirs = pair(dtype)
    inputs = rows(count, dtype)
    assert not ours.is_large(inputs)
    for here, there in zip(learned(ours, inputs), learned(theirs, inputs), strict=True):
        assert torch.equal(here, there)


@with_mkl
def test_a_layer_is_large_by_its_products_and_not_by_its_rows_alone() -> None:
    assert not WideLinear(8, 8).is_large(torch.zeros(LEAST_ROWS, 8))
    assert WideLinear(8, LEAST_PRODUCTS // LEAST_ROWS // 8).is_large(torch.zeros(LEAST_ROWS, 8))


def test_the_same_product_has_the_same_bits_wherever_its_inputs_lie() -> None:
    layer, inputs = pair()[0], rows(64)
    answers = [layer(x) for x in (inputs, inputs.clone(), inputs.T.contiguous().T)]
    assert all(torch.equal(answers[0], answer) for answer in answers)


def test_a_lazy_layer_becomes_one_of_ours() -> None:
    layer: nn.Module = LazyWideLinear(3)
    layer(torch.zeros(2, 5))
    assert type(layer) is WideLinear
    assert layer.weight.shape == (3, 5)


def test_channels_last_the_same_is_computed_up_to_rounding_and_learned_with_the_same_weights() -> (
    None
):
    layers = cifar_cnn(3, dropout=False)
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    found, expected = layers(images), nn.Sequential(*layers)(images)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    assert all(weight.is_contiguous() for weight in layers.parameters())
    gradients = [
        torch.autograd.grad(features.square().sum(), list(layers.parameters()))
        for features in (found, expected)
    ]
    for here, there in zip(*gradients, strict=True):
        torch.testing.assert_close(here, there, rtol=1e-3, atol=1e-4)
