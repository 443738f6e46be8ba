"""The choice of a task by portraits: right, and honest about how sure it is."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from si_stream.boundaries.choice import (
    LEAST_FITTED_SAMPLES,
    MOST_TEMPERATURE,
    USUAL_TEMPERATURE,
    Chooser,
    Likeness,
    fit_temperature,
    make_chooser,
)
from si_stream.boundaries.portraits import Portrait, Portraits, Sums
from si_stream.boundaries.sketch import Sketch
from simulators.scenarios import load_scenario

DIGITS = load_scenario("split-digits")


@pytest.fixture(scope="module")
def portraits() -> Portraits:
    portraits = Portraits((8, 8), 2)
    for number, task in enumerate(DIGITS.tasks):
        inputs, labels = task.train.take(np.arange(len(task.train)))
        portraits.see(number, torch.from_numpy(inputs), torch.from_numpy(labels))
        portraits.end(number)
    return portraits


def drawn(first: int, step: int) -> dict[int, torch.Tensor]:
    return {
        number: torch.from_numpy(task.test.take(np.arange(first, len(task.test), step))[0])
        for number, task in enumerate(DIGITS.tasks)
    }


def chosen(portraits: Portraits, **held: dict[int, torch.Tensor]) -> Chooser:
    made = make_chooser((8, 8), portraits.known, held.get("held", {}))
    assert made is not None
    assert made.tasks == [0, 1, 2, 3, 4]
    return made.chooser


def test_the_task_of_most_digits_is_known(portraits: Portraits) -> None:
    chooser = chosen(portraits)
    for number, inputs in drawn(0, 1).items():
        choice = chooser.choose(inputs.numpy())
        assert (choice.place_B == number).mean() > 0.9
        assert ((choice.probability_B >= 1 / 5) & (choice.probability_B <= 1)).all()


def test_the_probability_is_the_share_of_right_choices(portraits: Portraits) -> None:
    chooser = chosen(portraits, held=drawn(0, 2))
    assert chooser.fitted_samples > LEAST_FITTED_SAMPLES
    sure, right = [], []
    for number, inputs in drawn(1, 2).items():
        choice = chooser.choose(inputs.numpy())
        sure += choice.probability_B.tolist()
        right += (choice.place_B == number).tolist()
    assert np.mean(sure) == pytest.approx(np.mean(right), abs=0.04)
    doubtful = np.array(sure) < 0.9
    assert np.array(right)[doubtful].mean() < np.array(right)[~doubtful].mean()


def test_scores_are_the_log_densities_of_students_t(portraits: Portraits) -> None:
    portrait = portraits.known[2]
    inputs = DIGITS.tasks[0].test.take(np.arange(3))[0]
    likeness = Likeness.of(portrait)
    other = Likeness.of(portraits.known[0])
    assert likeness
    assert other
    scores = Chooser((8, 8), [likeness, other]).scores(inputs)
    size, samples = 64, float(portrait.counts.sum())
    freedom = samples - 2
    covariance = portrait.covariance * freedom / (freedom - size - 1)
    for row, z in enumerate(torch.from_numpy(Sketch((8, 8)).of(inputs))):
        expected = []
        for label in range(2):
            apart = z - portrait.means[label]
            distance = float(apart @ torch.linalg.solve(covariance, apart))
            expected.append(
                math.log(float(portrait.counts[label]) / samples)
                - 0.5 * float(torch.logdet(covariance))
                - (64 + size) / 2 * math.log1p(distance / 64)
            )
        assert float(scores[row, 0]) == pytest.approx(
            np.logaddexp(expected[0], expected[1]), rel=1e-4
        )


def test_many_inputs_are_scored_as_few_are(
    portraits: Portraits, monkeypatch: pytest.MonkeyPatch
) -> None:
    chooser, inputs = chosen(portraits), drawn(0, 1)[0].numpy()
    together = chooser.scores(inputs)
    monkeypatch.setattr("si_stream.boundaries.choice.SCORED_NUMBERS", 1000)
    torch.testing.assert_close(chooser.scores(inputs), together)


def test_a_label_that_a_portrait_has_none_of_draws_nothing(portraits: Portraits) -> None:
    first, second = portraits.known[0], portraits.known[1]
    wider = [
        Likeness.of(
            Portrait(
                torch.cat([one.counts, torch.zeros(1, dtype=torch.float64)]),
                torch.cat([one.means, torch.zeros(1, 64, dtype=torch.float64)]),
                one.covariance,
            )
        )
        for one in (first, second)
    ]
    narrow = [Likeness.of(first), Likeness.of(second)]
    inputs = drawn(0, 1)[1].numpy()
    scores = [
        Chooser((8, 8), [one for one in made if one]).scores(inputs) for made in (narrow, wider)
    ]
    torch.testing.assert_close(*scores)


def test_without_a_portrait_there_is_nothing_to_choose_by() -> None:
    assert make_chooser((8, 8), {}, {}) is None


def test_a_portrait_that_is_no_distribution_is_none(portraits: Portraits) -> None:
    good = portraits.known[0]
    for covariance in (-good.covariance, good.covariance * math.nan):
        assert Likeness.of(Portrait(good.counts, good.means, covariance)) is None
    made = make_chooser(
        (8, 8), {0: Portrait(good.counts, good.means, -good.covariance), 3: good}, {}
    )
    assert made is not None
    assert made.tasks == [3]


def test_a_portrait_that_saw_each_label_once_is_none() -> None:
    sums = Sums.none(300, 4)
    sums.add(np.random.default_rng(0).normal(size=(300, 4)), torch.arange(300))
    assert Likeness.of(Portrait.of(sums)) is None


def test_few_held_out_samples_leave_the_usual_temperature(portraits: Portraits) -> None:
    few = {number: inputs[:3] for number, inputs in drawn(0, 1).items()}
    chooser = chosen(portraits, held=few)
    assert (chooser.temperature, chooser.fitted_samples) == (USUAL_TEMPERATURE, 0)


def test_portraits_of_other_inputs_are_refused(portraits: Portraits) -> None:
    likeness = Likeness.of(portraits.known[0])
    assert likeness
    with pytest.raises(ValueError, match="not of sketches of 9 numbers"):
        Chooser((3, 3), [likeness])


@pytest.mark.parametrize("temperature", [2.0, 8.0, 40.0])
def test_a_temperature_is_found_again(temperature: float) -> None:
    random = np.random.default_rng(0)
    scores = torch.from_numpy(random.normal(size=(20_000, 5)) * 2)
    drawn = (scores + torch.from_numpy(random.gumbel(size=(20_000, 5)))).argmax(1)
    found = fit_temperature(scores * temperature, drawn)
    assert found == pytest.approx(temperature, rel=0.05)


def test_samples_that_are_all_right_leave_some_doubt() -> None:
    own = torch.arange(4).repeat(25)
    scores = 10 * torch.nn.functional.one_hot(own).double()
    found = fit_temperature(scores, own)
    assert found is not None
    sure = float((scores / found).softmax(1).max(1).values.mean())
    assert 1 - sure == pytest.approx(1 / 102 * 3 / 4, rel=0.05)


def test_scores_that_say_nothing_are_made_little_of() -> None:
    random = np.random.default_rng(0)
    scores = torch.from_numpy(random.normal(size=(500, 3)) * 100)
    found = fit_temperature(scores, torch.from_numpy(random.integers(0, 3, 500)))
    assert found is not None
    assert found > MOST_TEMPERATURE / 2
    assert fit_temperature(scores * math.nan, torch.zeros(500, dtype=torch.int64)) is None
