"""The learner: heads apart, a batch tested and learned, learners side by side."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from si_stream.errors import SettingsError
from tests.learning.building import (
    CNN,
    DROPPING,
    OWN,
    Batches,
    Build,
    Given,
    batches_for,
    copy_of,
    every_network,
    learn,
    same,
)

pytestmark = pytest.mark.usefixtures("own_trunks")

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
