"""The state: what a model is for good, and how it is taken up again."""

from __future__ import annotations

from typing import Any

import pytest

from si_stream.state import Identity, State
from tests.streams import DIGITS, SMALL, contents, digits_stream, learned, settings


def identity(stream_id: str = "one", **groups: Any) -> Identity:
    return State(settings(**groups), stream_id).identity


@pytest.mark.parametrize(
    ("groups", "difference"),
    [
        ({"model": {"batch_size": 9}}, "model.batch_size: 9, not 8"),
        ({"model": {"input_shape": (5,)}}, "model.input_shape: (5,), not (4,)"),
        ({"model": {"outputs": 4}}, "model.outputs: 4, not 3"),
        ({"model": {"dtype": "float32"}}, "model.dtype: 'float32', not 'uint8'"),
        ({"model": {"seed": 1}}, "model.seed: 1, not 0"),
        ({"model": {"network": {"hidden": (7,)}}}, "model.network.hidden: (7,), not (6,)"),
        ({"optimiser": {"kind": "sgd"}}, "optimiser: 'sgd', not 'adam'"),
        ({"consolidator": {"kind": "none"}}, "consolidator: 'none', not 'synaptic-intelligence'"),
        ({"consolidator": {"kind": "lwf"}}, "consolidator: 'lwf', not 'synaptic-intelligence'"),
        ({"learner": {"shadow": "none"}}, "shadow: 'none', not 'off'"),
        ({"stream_id": "other"}, "stream_id: 'other', not 'one'"),
    ],
)
def test_another_model_or_stream_is_another_identity_and_says_in_what(
    groups: dict[str, Any], difference: str
) -> None:
    if hidden := groups.get("model", {}).get("network"):
        groups = {"model": {"network": SMALL["network"] | hidden}}
    assert identity(**groups).differences(identity()) == [difference]


@pytest.mark.parametrize("kind", ["ewc", "online-ewc"])
def test_a_reservoir_of_another_size_is_another_identity(kind: str) -> None:
    one, other = (
        identity(consolidator={"kind": kind, "fisher_samples": size}) for size in (20, 30)
    )
    assert one.differences(other) == ["fisher_samples: 20, not 30"]


@pytest.mark.parametrize(
    "groups",
    [
        {"model": {"name": "another-name"}},
        {"consolidator": {"fisher_samples": 5, "trunk_rate": 0.5}},
        {"optimiser": {"learning_rate": 0.5}},
        {"consolidator": {"strength": 0.5, "damping": 0.5}},
        {"holdout": {"capacity": 5}, "boundaries": {"max_tasks": 7}},
    ],
)
def test_what_may_change_in_a_life_is_no_part_of_the_identity(groups: dict[str, Any]) -> None:
    assert identity(**groups).differences(identity()) == []


def test_an_identity_outlives_a_checkpoint() -> None:
    here = identity(learner={"shadow": "none"})
    again = Identity.model_validate_json(here.model_dump_json())
    assert (again, again.differences(here)) == (here, [])


def test_tensors_of_another_network_are_refused_and_nothing_is_changed() -> None:
    digits = learned(digits_stream(), settings(model=DIGITS))
    other = State(settings(model=DIGITS | {"network": {"hidden": (16, 8)}}), "stream")
    before = contents(other)
    with pytest.raises(ValueError, match=r"expected .* found"):
        other.resume(digits.ledger, digits.measures(), digits.tensors())
    assert {n: v for n, v in contents(other).items() if "trunk" in n} == {
        n: v for n, v in before.items() if "trunk" in n
    }
