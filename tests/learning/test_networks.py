"""The networks' first weights and shapes."""

from __future__ import annotations

import math

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from si_stream.learning.networks import (
    build_head,
    build_trunk,
    count_features,
    generator,
    sizes,
)
from si_stream.learning.options import Initialisation, ModelOptions, NetworkOptions
from tests.learning.building import Given


def test_first_weights_are_glorot_uniform_and_biases_nought() -> None:
    trunk = build_trunk(ModelOptions(input_shape=(28, 28), outputs=2))
    layers = [layer for layer in trunk.children() if isinstance(layer, nn.Linear)]
    assert [tuple(layer.weight.shape) for layer in layers] == [(256, 784), (256, 256)]
    for layer in layers:
        limit = math.sqrt(6 / sum(layer.weight.shape))
        weight = layer.weight.detach()
        largest = float(weight.abs().max())
        assert 0.99 * limit < largest <= limit
        assert float(weight.std()) == pytest.approx(limit / math.sqrt(3), rel=0.02)
        assert not layer.bias.any()


@pytest.mark.parametrize(("how", "nought"), [("zero", True), ("glorot-uniform", False)])
def test_a_heads_first_weights_are_as_asked(how: Initialisation, nought: bool) -> None:
    model = ModelOptions(outputs=4, network=NetworkOptions(head_initialisation=how))
    head = build_head(model, features=8, number=3)
    assert tuple(head.weight.shape) == (4, 8)
    assert bool(head.weight.any()) != nought
    assert not head.bias.any()


def test_dropout_leaves_out_units_of_each_hidden_layer_and_moves_no_first_weight() -> None:
    given: Given = {"input_shape": (5,), "outputs": 2}
    plain, dropping = (
        build_trunk(
            ModelOptions(**given, network=NetworkOptions(hidden=(400, 300), hidden_dropout=p))
        )
        for p in (0.0, 0.5)
    )
    kinds = [type(layer).__name__ for layer in dropping.children()]
    assert kinds == ["Flatten", *["WideLinear", "ReLU", "Dropout"] * 2]
    assert [type(layer).__name__ for layer in plain.children()] == [
        kind for kind in kinds if kind != "Dropout"
    ]
    for one, other in zip(plain.parameters(), dropping.parameters(), strict=True):
        assert torch.equal(one, other)
    x = torch.ones(50, 5)
    assert torch.equal(dropping.eval()(x), plain(x))
    active = plain(x)[0] > 0
    left_out = dropping.train()(x)[:, active] == 0
    assert 0.4 < float(left_out.float().mean()) < 0.65


def test_without_hidden_layers_the_trunk_is_the_input() -> None:
    model = ModelOptions(input_shape=(2, 3), outputs=2, network=NetworkOptions(hidden=()))
    assert count_features(build_trunk(model), model) == 6


def test_the_cifar_network_makes_512_features_of_its_images() -> None:
    model = ModelOptions(
        input_shape=(3, 32, 32), outputs=10, network=NetworkOptions(kind="cifar-cnn")
    )
    assert count_features(build_trunk(model), model) == 512


def test_generators_of_other_seeds_and_purposes_differ_and_equal_ones_agree() -> None:
    def draw(*key: int) -> list[float]:
        return torch.rand(4, generator=generator(*key)).tolist()

    draws = [draw(0, 0), draw(0, 1), draw(1, 0), draw(0, 0, 1), draw(2**70, 0)]
    assert all(a != b for i, a in enumerate(draws) for b in draws[:i])
    assert draw(0, 1) == draws[1]


@pytest.mark.parametrize("given", [{"input_shape": (0,)}, {"network": {"hidden": (-3,)}}])
def test_a_width_below_one_is_refused(given: Given) -> None:
    with pytest.raises(ValidationError, match="greater than 0"):
        ModelOptions(**given)


@pytest.mark.parametrize(
    "model",
    [
        ModelOptions(input_shape=(28, 28), outputs=2),
        ModelOptions(input_shape=(3,), outputs=5, network=NetworkOptions(hidden=())),
        ModelOptions(input_shape=(3, 32, 32), outputs=10, network=NetworkOptions(kind="cifar-cnn")),
        ModelOptions(input_shape=(1, 21, 14), outputs=1, network=NetworkOptions(kind="cifar-cnn")),
        ModelOptions(input_shape=(4,), outputs=1, labels="open", max_classes=7),
    ],
)
def test_a_networks_size_is_known_before_it_is_made(model: ModelOptions) -> None:
    trunk = build_trunk(model)
    made = [trunk, build_head(model, count_features(trunk, model), 0)]
    assert sizes(model) == tuple(sum(p.numel() for p in part.parameters()) for part in made)


def test_an_image_too_small_for_the_cifar_network_has_no_size() -> None:
    small = ModelOptions(
        input_shape=(1, 9, 99), outputs=1, network=NetworkOptions(kind="cifar-cnn")
    )
    with pytest.raises(ValueError, match="takes no inputs"):
        sizes(small)


def test_an_input_larger_than_any_message_is_refused() -> None:
    with pytest.raises(ValidationError, match="more than 67,108,864 numbers"):
        ModelOptions(input_shape=(2**13, 2**14), outputs=1)
