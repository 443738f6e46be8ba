"""Trunks that people bring: learned whatever they are, and refused where they cannot serve."""

from __future__ import annotations

import pytest
import torch

from si_stream.errors import SettingsError
from tests.learning.building import Batches, Build, copy_of, learn

pytestmark = pytest.mark.usefixtures("own_trunks")


def test_parameters_of_an_own_trunk_that_need_no_gradient_stay_and_are_saved(
    build: Build, batches: Batches
) -> None:
    learner = build({"network": {"kind": "module", "module": "own_trunks:half_frozen"}})
    before = learner.state()["trunk.module.0.weight"].clone()
    learn(learner, batches(5), head=0)
    assert torch.equal(learner.state()["trunk.module.0.weight"], before)
    assert learner.trunk.module.get_parameter("2.weight").detach().ne(0).any()

    other = build({"seed": 1, "network": {"kind": "module", "module": "own_trunks:half_frozen"}})
    assert not torch.equal(other.state()["trunk.module.0.weight"], before)
    other.load_state(copy_of(learner))
    assert torch.equal(other.state()["trunk.module.0.weight"], before)


@pytest.mark.parametrize("name", ["plain", "no_parameters"])
def test_any_trunk_that_makes_features_is_learned(
    build: Build, batches: Batches, name: str
) -> None:
    learner = build({"network": {"kind": "module", "module": f"own_trunks:{name}"}})
    losses = [float(learned.loss) for learned in learn(learner, batches(60), head=0)]
    learner.consolidate(head=0)
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (None, r"is None; it must read 'package.module:function'"),
        ("own_trunks", r"'own_trunks'; it must read"),
        (":plain", "it must read"),
        ("no_such_package:plain", "cannot be imported: No module named 'no_such_package'"),
        ("own_trunks:no_such_function", "cannot be imported: .*no_such_function"),
        ("own_trunks:no_module", "returned list; it must return a torch.nn.Module"),
        ("own_trunks:no_features", r"makes \[2, 2, 3\] of 2 inputs; it must make \[2, features\]"),
        ("own_trunks:not_this_shape", r"does not take inputs of shape \[6\]"),
        ("own_trunks:broken", "raised RuntimeError: out of cheese"),
    ],
)
def test_an_own_trunk_that_cannot_serve_is_refused_in_one_line(
    build: Build, path: str | None, message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        build({"network": {"kind": "module", "module": path}})
