"""The learner: heads apart, states that go on bit for bit, own trunks, learners side by side."""

from __future__ import annotations

import math
import sys
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from si_stream.errors import SettingsError
from si_stream.learning.frozen import FrozenNetwork, weights_of
from si_stream.learning.learner import Learned, Learner
from tests.learning.building import Batches, Build, Given

CNN: Given = {
    "input_shape": (2, 14, 14),
    "network": {"kind": "cifar-cnn", "head_initialisation": "glorot-uniform"},
}
OWN: Given = {"network": {"kind": "module", "module": "own_trunks:dropping"}}
DROPPING: Given = {
    "network": {"hidden": (8, 7), "hidden_dropout": 0.5, "head_initialisation": "glorot-uniform"}
}
WIDE: Given = {"input_shape": (1200,), "network": {"hidden": (1024,)}}
NETWORKS: dict[str, Given] = {
    "mlp": {},
    "mlp with dropout": DROPPING,
    "cifar-cnn": CNN,
    "module": OWN,
}

every_network = pytest.mark.parametrize("model", NETWORKS.values(), ids=NETWORKS.keys())


@pytest.fixture(autouse=True)
def _own_trunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A module `own_trunks` that a person might bring."""
    source = """
        import torch
        from torch import nn

        def dropping():
            return nn.Sequential(
                nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 7)
            )

        def plain():
            return nn.Sequential(nn.Linear(6, 7), nn.ReLU())

        def half_frozen():
            return nn.Sequential(nn.Linear(6, 8).requires_grad_(False), nn.ReLU(), nn.Linear(8, 7))

        def no_parameters():
            return nn.Flatten()

        def no_module():
            return [1, 2]

        def no_features():
            return nn.Unflatten(1, (2, 3))

        def not_this_shape():
            return nn.Linear(5, 7)

        def broken():
            raise RuntimeError("out of cheese")
        """
    (tmp_path / "own_trunks.py").write_text(textwrap.dedent(source))
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("own_trunks", None)


def copy_of(learner: Learner) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in learner.state().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


def learn(learner: Learner, batches: Iterable[tuple[Tensor, Tensor]], head: int) -> list[Learned]:
    return [learner.learn(x, y, head) for x, y in batches]


def batches_for(
    batches: Batches, model: Given, count: int, task: int = 0, size: int = 16
) -> list[tuple[Tensor, Tensor]]:
    return batches(count, task, shape=model.get("input_shape", (6,)), size=size)


# Heads.


@pytest.mark.parametrize("keep", ["all", "nothing", "step-count"])
def test_an_old_head_and_all_kept_for_it_stay_to_the_bit_while_others_train(
    build: Build, batches: Batches, keep: str
) -> None:
    learner = build(optimiser={"keep_over_boundary": keep})
    for task in range(2):
        learn(learner, batches(20, task), head=task)
        learner.consolidate(head=task)
    assert learner.heads[0]["importance"].any()
    assert learner.heads[0]["first_moment"].any() == (keep == "all")  # momentum is left in it

    old = {name: t for name, t in copy_of(learner).items() if name.startswith("heads.0.")}
    assert len(old) == 6
    for task in (2, 1):
        learn(learner, batches(20, task), head=task)
        learner.consolidate(head=task)
    new = copy_of(learner)
    assert same(old, {name: new[name] for name in old})


@every_network
def test_a_head_opened_late_equals_one_opened_early(
    build: Build, batches: Batches, model: Given
) -> None:
    early, late = build(model), build(model)
    early.open_heads(3)
    for head in (0, 2):
        for learner in (early, late):
            learn(learner, batches_for(batches, model, 6, head), head)
            learner.consolidate(head)
    assert same(copy_of(early), copy_of(late))


def test_the_first_weights_depend_on_the_seed_and_on_the_heads_number_alone(
    build: Build, batches: Batches
) -> None:
    one, other, third = build(), build(), build({"seed": 1})
    learn(one, batches(5), head=0)
    for learner in (one, other, third):
        learner.open_heads(3)
    weights = [learner.heads[2]["weights"] for learner in (one, other, third)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert not torch.equal(one.heads[1]["weights"], one.heads[2]["weights"])


# Test, then train.


@every_network
def test_a_batch_is_tested_as_a_prediction_before_it_is_trained_on(
    build: Build, batches: Batches, model: Given
) -> None:
    learner = build(model, optimiser={"learning_rate": 0.03})
    wrongs = 0
    for x, y in batches_for(batches, model, 20, size=32):
        learner.open_heads(1)
        before = learner.predict(x, head=0)
        learned = learner.learn(x, y, head=0)
        assert torch.equal(learned.wrong_B, before.argmax(1) != y)
        assert not torch.equal(learner.predict(x, head=0), before)
        wrongs += int(learned.wrong_B.sum())
    assert 0 < wrongs < 20 * 32


def test_the_loss_is_the_mean_task_loss_without_the_penalty(build: Build, batches: Batches) -> None:
    learner = build(consolidator={"strength": 50.0})
    for task in range(2):
        for x, y in batches(5, task):
            learner.open_heads(1)
            expected = functional.cross_entropy(learner.predict(x, head=0), y)
            assert learner.learn(x, y, head=0).loss.item() == pytest.approx(expected.item())
        learner.consolidate(head=0)


@every_network
def test_a_prediction_changes_nothing(build: Build, batches: Batches, model: Given) -> None:
    learner = build(model)
    data = batches_for(batches, model, 4)
    learn(learner, data, head=0)
    before = copy_of(learner)
    learner.predict(data[0][0], head=0)
    learner.count_correct(*data[0], head=0)
    learner.surrogate_loss(head=0)
    learner.layers()
    assert same(copy_of(learner), before)


def test_a_wrong_input_leaves_the_learner_as_it_was(build: Build, batches: Batches) -> None:
    learner, other = build(OWN), build(OWN)
    for one in (learner, other):
        learn(one, batches(2), head=0)
    with pytest.raises(RuntimeError):
        learner.learn(torch.zeros(4, 5), torch.zeros(4, dtype=torch.int64), head=0)
    for one in (learner, other):
        learn(one, batches(2, 1), head=0)
    assert same(copy_of(learner), copy_of(other))


def test_a_batch_of_one_sample_is_learned_also_with_batch_normalisation(
    build: Build, batches: Batches
) -> None:
    learner = build(OWN)
    losses = [learned.loss for learned in learn(learner, batches(3, size=1), head=0)]
    assert all(math.isfinite(loss) for loss in losses)
    assert learner.state()["trunk.module.1.num_batches_tracked"] == 0
    learn(learner, batches(1, size=2), head=0)
    assert learner.state()["trunk.module.1.num_batches_tracked"] == 1


@pytest.mark.parametrize("scale", [1e15, 1e25, 1e38])
def test_a_batch_changes_nothing_where_a_gradient_s_square_would_not_be_finite(
    build: Build, batches: Batches, scale: float
) -> None:
    """Adam's second moment would be infinite for ever, and the weight would not move again."""
    learner = build(model={"network": {"head_initialisation": "glorot-uniform"}})
    [(x, y)] = batches(1)
    learner.learn(x, y, head=0)
    before = copy_of(learner)
    learned = learner.learn(x * scale, y, head=0)
    assert learned.finite == (scale < 1e19)
    assert same(copy_of(learner), before) != learned.finite
    assert all(tensor.isfinite().all() for tensor in copy_of(learner).values())


def test_right_answers_are_counted_over_any_number_of_samples(
    build: Build, batches: Batches
) -> None:
    learner = build()
    learn(learner, batches(30), head=0)
    x, y = batches(1, size=2500)[0]
    right = int((learner.predict(x, head=0).argmax(1) == y).sum())
    assert learner.count_correct(x, y, head=0) == right
    assert right > 1250
    assert learner.count_correct(x[:0], y[:0], head=0) == 0


# The state.


@every_network
def test_a_learner_goes_on_from_its_state_bit_for_bit(
    build: Build, batches: Batches, model: Given
) -> None:
    learner = build(model)
    for task in range(2):
        learn(learner, batches_for(batches, model, 4, task), head=task)
        learner.consolidate(head=task)
    learn(learner, batches_for(batches, model, 3, 2), head=1)
    saved = copy_of(learner)

    other = build(model)
    learn(other, batches_for(batches, model, 2, 3), head=0)
    other.load_state(saved)
    assert same(copy_of(other), saved)
    for one in (learner, other):
        learn(one, batches_for(batches, model, 4, 4), head=2)
        one.consolidate(head=2)
    assert same(copy_of(other), copy_of(learner))
    assert not same(copy_of(other), saved)


@pytest.mark.parametrize("missing", ["trunk.weights", "optimiser.steps", "random.dropout"])
def test_a_state_that_lacks_something_is_refused_and_changes_nothing(
    build: Build, batches: Batches, missing: str
) -> None:
    learner = build()
    learn(learner, batches(2), head=0)
    before = copy_of(learner)
    state = {name: tensor + 1 for name, tensor in before.items() if name != missing}
    with pytest.raises(ValueError, match=missing):
        build().load_state(state)
    with pytest.raises(ValueError, match=missing):
        learner.load_state(state)
    assert same(copy_of(learner), before)


def test_the_state_of_another_network_is_refused(build: Build) -> None:
    with pytest.raises(ValueError, match=r"trunk\.weights: expected"):
        build().load_state(build({"network": {"hidden": (9, 9)}}).state())


@pytest.mark.parametrize(
    ("model", "size"),
    [*((model, 16) for model in NETWORKS.values()), (WIDE, 16), (WIDE, 64)],
    ids=[*NETWORKS, "wide mlp, few rows", "wide mlp, many rows"],
)
def test_a_frozen_network_answers_as_the_learner_does(
    build: Build, batches: Batches, model: Given, size: int
) -> None:
    learner = build(model)
    for head in range(2):
        learn(learner, batches_for(batches, model, 4, head), head)
    frozen = FrozenNetwork(learner.model, weights_of(copy_of(learner)))
    x, _ = batches_for(batches, model, 1, size=size)[0]
    for head in range(2):
        expected = torch.softmax(learner.predict(x, head), 1)
        assert torch.equal(torch.from_numpy(frozen.probabilities(x.numpy(), head)), expected)


# Side by side, and random numbers.


@every_network
def test_a_second_learner_beside_it_changes_no_bit(
    build: Build, batches: Batches, model: Given
) -> None:
    alone, main, shadow = build(model), build(model), build(model, consolidator={"kind": "none"})
    for task in range(2):
        data = batches_for(batches, model, 4, task)
        for batch in data:
            torch.rand(3)  # nor does anybody else who draws random numbers
            learn(main, [batch], head=task)
            learn(shadow, [batch], head=task)
        learn(alone, data, head=task)
        for learner in (alone, main, shadow):
            learner.consolidate(task)
    assert same(copy_of(alone), copy_of(main))
    assert not torch.equal(main.trunk["weights"], shadow.trunk["weights"])


@every_network
def test_pytorchs_own_random_numbers_are_left_as_they_were(
    build: Build, batches: Batches, model: Given
) -> None:
    before = torch.get_rng_state()
    learner = build(model)
    for head in range(2):
        learn(learner, batches_for(batches, model, 2, head), head)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("model", [CNN, DROPPING], ids=["cifar-cnn", "mlp"])
def test_dropout_draws_other_masks_at_each_step_and_for_each_seed(
    build: Build, batches: Batches, model: Given
) -> None:
    data = batches_for(batches, model, 1)[0]
    slow = {"learning_rate": 1e-12}
    losses = {
        float(learner.learn(*data, head=0).loss)
        for learner in (
            build(model | {"seed": seed}, optimiser=slow) for seed in (0, 1) for _ in range(2)
        )
        for _ in range(3)
    }
    assert len(losses) == 2 * 3  # the same for the same seed


@pytest.mark.parametrize(
    ("model", "passes"), [({}, [1, 1]), (DROPPING, [1, 2]), (CNN, [1, 1, 2, 2, 2]), (OWN, [2, 2])]
)
def test_to_test_and_to_train_each_layer_before_the_first_dropout_is_computed_once(
    build: Build, batches: Batches, model: Given, passes: list[int]
) -> None:
    learner, calls = build(model), list[torch.nn.Module]()
    kinds = torch.nn.Linear, torch.nn.Conv2d
    layers = [layer for layer in learner.trunk.module.modules() if isinstance(layer, kinds)]
    for layer in layers:
        layer.register_forward_hook(lambda layer, *_: calls.append(layer))
    learn(learner, batches_for(batches, model, 1), head=0)
    assert [calls.count(layer) for layer in layers] == passes


def test_where_a_batch_lies_in_memory_changes_no_bit(build: Build, batches: Batches) -> None:
    learners = [build({"input_shape": (33,)}) for _ in range(4)]
    for x, y in batches(5, shape=(33,)):
        for learner, shift in zip(learners, (0, 1, 2, 15), strict=True):
            moved = torch.empty(x.numel() + shift)[shift:].view_as(x).copy_(x)
            assert moved.data_ptr() % 64 == 4 * shift
            learner.learn(moved, y, head=0)
        learners[0].learn(x.T.contiguous().T, y, head=0)
        for learner in learners[1:]:
            learner.learn(x, y, head=0)
    states = [copy_of(learner) for learner in learners]
    assert all(same(states[0], state) for state in states[1:])


def test_bytes_are_divided_by_255_and_floats_taken_as_they_are(build: Build) -> None:
    bytes_ = torch.tensor([[0, 51, 255, 1, 2, 3]], dtype=torch.uint8)
    y = torch.tensor([1])
    as_bytes, as_floats = build({"dtype": "uint8"}), build()
    as_bytes.learn(bytes_, y, head=0)
    as_floats.learn(bytes_.float() / 255, y, head=0)
    assert same(copy_of(as_bytes), copy_of(as_floats))
    assert bytes_.tolist() == [[0, 51, 255, 1, 2, 3]]


# A trunk of one's own.


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


def test_an_input_that_is_too_small_for_the_network_is_refused(build: Build) -> None:
    with pytest.raises(SettingsError, match=r"does not take inputs of shape \[3, 8, 8\]"):
        build({"input_shape": (3, 8, 8), "network": {"kind": "cifar-cnn"}})


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA GPU here")
def test_a_gpu_that_is_not_there_is_refused(build: Build) -> None:
    with pytest.raises(SettingsError, match="sees no CUDA GPU here; set it to 'auto' or 'cpu'"):
        build(compute={"device": "cuda"})


# What an operator sees.


def test_layers_tell_importance_and_drift_of_each_weight_tensor(
    build: Build, batches: Batches
) -> None:
    learner = build()
    assert all(layer.importance == layer.drift == 0 for layer in learner.layers())
    learn(learner, batches(10), head=0)
    assert all(layer.drift > 0 == layer.importance for layer in learner.layers())
    learner.consolidate(head=0)
    assert all(layer.importance > 0 == layer.drift for layer in learner.layers())
    assert [layer.name for layer in learner.layers()] == [
        "1.weight", "1.bias", "3.weight", "3.bias",
    ]  # fmt: skip


def test_layers_of_a_learner_that_consolidates_nothing_are_nought(
    build: Build, batches: Batches
) -> None:
    learner = build(consolidator={"kind": "none"})
    learn(learner, batches(3), head=0)
    assert all(layer.importance == layer.drift == 0 for layer in learner.layers())
