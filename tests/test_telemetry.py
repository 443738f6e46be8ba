"""Telemetry: every metric that is promised, with values that can be, under names of good form."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterable

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from si_stream import events
from si_stream.brokers.interface import Position
from si_stream.errors import Reason
from si_stream.evaluation.measures import Live
from si_stream.evaluation.plasticity import FIRST_TASKS
from si_stream.messages.kinds import End
from si_stream.telemetry import Telemetry
from tests.streams import (
    DIGITS,
    digits_stream,
    enveloped,
    learn,
    memory_broker,
    samples,
    settings,
)

# The surface: a change here is a change for every dashboard and alert.
KINDS = {
    "active_task_info": "gauge",
    "average_accuracy_ratio": "gauge",
    "backward_transfer_ratio": "gauge",
    "batches": "counter",
    "broker_away_seconds": "gauge",
    "checkpoint_age_seconds": "gauge",
    "checkpoint_bytes": "gauge",
    "checkpoint_duration_seconds": "gauge",
    "checkpoint_stall_seconds": "gauge",
    "checkpoints_refused": "counter",
    "consolidations": "counter",
    "detector_alarms": "counter",
    "worlds_compared": "counter",
    "drift_norm": "gauge",
    "epoch": "gauge",
    "forgetting_ratio": "gauge",
    "forgetting_standard_error_ratio": "gauge",
    "holdout_accuracy_ratio": "gauge",
    "holdout_age_seconds": "gauge",
    "holdout_samples": "gauge",
    "holdout_standard_error_ratio": "gauge",
    "importance_norm": "gauge",
    "lag_messages": "gauge",
    "mean_forgetting_ratio": "gauge",
    "open_outputs": "gauge",
    "partition_awaited_seconds": "gauge",
    "plasticity_level_ratio": "gauge",
    "plasticity_speed_ratio": "gauge",
    "position_age_seconds": "gauge",
    "prequential_accuracy_ratio": "gauge",
    "quarantined_batches": "counter",
    "received_samples": "counter",
    "rejected": "counter",
    "retention_margin_ratio": "gauge",
    "skipped_batches": "counter",
    "snapshot_age_seconds": "gauge",
    "snapshot_step": "gauge",
    "step_duration_seconds": "histogram",
    "step": "gauge",
    "surrogate_loss": "gauge",
    "task_loss": "gauge",
    "tasks": "gauge",
    "trained_samples": "counter",
    "writing_failures": "counter",
}


class Scrape:
    """What a Prometheus server would read."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.text = generate_latest(registry).decode()
        self.families: dict[str, Metric] = {
            family.name.removeprefix("si_stream_"): family
            for family in text_string_to_metric_families(self.text)
            if not family.name.endswith("_created")  # when each began, beside counters
        }

    def value(self, name: str, **labels: str) -> float:
        [value] = [
            sample.value
            for sample in self.families[name].samples
            if sample.labels == labels and not sample.name.endswith("_created")
        ]
        return value

    def samples(self, name: str) -> dict[str, float]:
        return {str(sample.labels): sample.value for sample in self.families[name].samples}

    def labels(self, name: str, label: str) -> set[str]:
        return {sample.labels[label] for sample in self.families[name].samples}


@pytest.fixture(scope="module")
def after_a_run() -> Scrape:
    """Three tasks with a shadow, and what the process around the loop adds."""
    stream = [*digits_stream(end=False), *enveloped([samples(1), End("end")])]
    chosen = settings(
        model=DIGITS,
        learner={"shadow": "none"},
        holdout={"evaluation_interval_steps": 5},
        plasticity={"first_samples": 200},
    )
    registry = CollectorRegistry()
    telemetry = Telemetry(registry)
    _, heard = learn(memory_broker(stream), chosen)
    told = [*heard.events, events.CheckpointWritten(55, 867, 0.01, 5000)]
    told += [events.WritingFailed("checkpoint", "why"), events.SnapshotPublished(2, 55, 867)]
    place: dict[int, Position] = {0: Position(3)}
    told += [events.BatchSkipped("main", "a", 8, place), events.BatchQuarantined("a", 8, place)]
    told.append(events.Alarmed("a", 8, 3, 1.5, "taken", "errors", place))
    told.append(events.WorldCompared("a", 8, None, "b", 9.0, 1.5))
    told.append(events.OutputsOpened("digits-4-5", [0, 1], 2, 37))
    tell(telemetry, told)
    telemetry.retention.labels(0).set(1)
    telemetry.lag.labels(0).set(0)
    telemetry.watch_partitions(1)
    telemetry.refused.inc(0)
    return Scrape(registry)


def test_counters_that_alerts_watch_are_zero_before_anything_happened() -> None:
    """One that first appears as 1 has not risen, to who asks Prometheus for its increase."""
    registry = CollectorRegistry()
    Telemetry(registry)
    new = Scrape(registry)
    for reason in Reason:
        assert new.value("rejected", reason=reason) == 0
    for what in ("checkpoint", "snapshot"):
        assert new.value("writing_failures", what=what) == 0
    for role in ("train", "holdout"):
        assert new.value("received_samples", role=role) == 0
    assert new.value("skipped_batches", track="main") == 0


def tell(telemetry: Telemetry, told: Iterable[events.Event]) -> None:
    for event in told:
        telemetry.hear(event)


def test_the_metrics_are_these(after_a_run: Scrape) -> None:
    families = after_a_run.families
    assert {name: family.type for name, family in families.items()} == KINDS
    assert all(family.samples for family in families.values())


def test_a_task_of_which_nothing_was_tested_has_no_prequential_accuracy() -> None:
    registry = CollectorRegistry()
    Telemetry(registry).hear(events.Progress("main", "a", 0, 0, 0, 0, 0.0, 0.0))
    assert Scrape(registry).samples("prequential_accuracy_ratio") == {}


def test_names_are_of_good_form(after_a_run: Scrape) -> None:
    """As `promtool check metrics` would have them."""
    for name, family in after_a_run.families.items():
        assert family.name == f"si_stream_{name}"
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", name)
        assert family.documentation.endswith(".")
        assert not re.search(r"(milli|micro|kilo|mega|percent|minutes|hours|_ms|_mb)", name)
        assert not re.search(r"_(count|sum|bucket|total)$", name)
        if family.type == "counter":
            assert {s.name for s in family.samples} <= {f"{family.name}_total"}


def test_every_number_is_one_that_can_be(after_a_run: Scrape) -> None:
    for name, family in after_a_run.families.items():
        for sample in family.samples:
            assert math.isfinite(sample.value)
            if name in ("forgetting_ratio", "mean_forgetting_ratio", "backward_transfer_ratio"):
                assert -1 <= sample.value <= 1
            elif name.startswith("plasticity_"):
                assert 0 < sample.value <= FIRST_TASKS
            elif name.endswith("_ratio"):
                assert 0 <= sample.value <= 1
            else:
                assert sample.value >= 0


def test_what_was_learned_is_counted(after_a_run: Scrape) -> None:
    tasks = ("digits-0-1", "digits-2-3", "digits-4-5")
    trained = [after_a_run.value("trained_samples", task=task) for task in tasks]
    assert sum(trained) == after_a_run.value("received_samples", role="train") == 867
    assert after_a_run.value("received_samples", role="holdout") == 216
    assert after_a_run.value("batches") == after_a_run.value("step") == 55
    assert after_a_run.value("consolidations") == after_a_run.value("tasks") == 3
    assert after_a_run.value("rejected", reason=Reason.WRONG_SHAPE) == 1
    assert after_a_run.value("active_task_info", task="digits-4-5") == 1
    assert after_a_run.value("epoch") == 2
    assert [after_a_run.value("holdout_samples", task=task) for task in tasks] == [72, 72, 72]


def test_what_is_known_of_each_task_is_shown_for_both_tracks(after_a_run: Scrape) -> None:
    for track in ("main", "shadow"):
        for task in ("digits-0-1", "digits-2-3", "digits-4-5"):
            holdout = after_a_run.value("holdout_accuracy_ratio", track=track, task=task)
            error = after_a_run.value("holdout_standard_error_ratio", track=track, task=task)
            assert error == pytest.approx(math.sqrt(holdout * (1 - holdout) / 72))
            assert 0.2 < after_a_run.value("prequential_accuracy_ratio", track=track, task=task) < 1
        assert 0.2 < after_a_run.value("task_loss", track=track) < 1
        assert after_a_run.value("average_accuracy_ratio", track=track) > 0.4
    assert after_a_run.value("surrogate_loss", track="main") > 0
    assert after_a_run.value("surrogate_loss", track="shadow") == 0
    layers = after_a_run.labels("importance_norm", "layer")
    assert layers == {"1.weight", "1.bias", "3.weight", "3.bias"}
    assert all(after_a_run.value("importance_norm", track="main", layer=one) > 0 for one in layers)


def test_ages_are_since_the_last_time(after_a_run: Scrape) -> None:
    assert 0 <= after_a_run.value("checkpoint_age_seconds") < 60
    assert 0 <= after_a_run.value("snapshot_age_seconds") < 60
    assert 0 <= after_a_run.value("position_age_seconds") < 60


def test_a_flood_of_names_makes_no_label() -> None:
    stream = [samples(8, task="a"), *(samples(1, n, task=f"typing-error-{n}") for n in range(300))]
    registry = CollectorRegistry()
    _, heard = learn(memory_broker([*stream, End("end")]), settings())
    tell(Telemetry(registry), heard.events)
    scrape = Scrape(registry)
    assert "typing-error" not in scrape.text
    assert scrape.value("rejected", reason="wrong_task") == 300


def test_a_task_that_comes_again_is_not_one_more_and_not_one_less() -> None:
    registry = CollectorRegistry()
    telemetry = Telemetry(registry)
    names = ["a", "b", "a"]
    stream = [samples(8, 8 * n, task=name) for n, name in enumerate(names)]
    chosen = settings(boundaries={"mode": "task-name"})
    _, heard = learn(memory_broker([*stream, End("end")]), chosen)
    tell(telemetry, heard.events)
    assert Scrape(registry).value("tasks") == 2


def test_after_a_restart_everything_that_was_known_is_shown_at_once() -> None:
    chosen = settings(model=DIGITS, learner={"shadow": "none"}, plasticity={"first_samples": 200})
    before, after = CollectorRegistry(), CollectorRegistry()
    state, heard = learn(memory_broker(digits_stream()), chosen)
    tell(Telemetry(before), heard.events)
    Telemetry(after).resume(state.ledger, state.measures(), time.time())
    for name in (
        "average_accuracy_ratio",
        "backward_transfer_ratio",
        "forgetting_ratio",
        "forgetting_standard_error_ratio",
        "holdout_accuracy_ratio",
        "holdout_samples",
        "holdout_standard_error_ratio",
        "mean_forgetting_ratio",
        "plasticity_level_ratio",
        "plasticity_speed_ratio",
        "prequential_accuracy_ratio",
        "step",
        "tasks",
    ):
        shown = Scrape(before).samples(name)
        assert shown
        assert shown.items() <= Scrape(after).samples(name).items()


def test_an_age_begins_anew_when_nothing_is_left_to_be_saved(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    registry = CollectorRegistry()
    telemetry = Telemetry(registry)
    start = time.time()
    monkeypatch.setattr(time, "time", lambda: start + 100)
    assert Scrape(registry).value("checkpoint_age_seconds") == pytest.approx(100, abs=5)
    telemetry.is_current("checkpoint", start + 100)
    assert Scrape(registry).value("checkpoint_age_seconds") == 0
    assert Scrape(registry).value("snapshot_age_seconds") == pytest.approx(100, abs=5)


def test_a_holdout_is_as_old_as_its_last_measurement_on_the_main_track(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    registry = CollectorRegistry()
    telemetry = Telemetry(registry)
    start = time.time()
    for seconds, track, task in ((0, "main", "a"), (10, "main", "b"), (20, "shadow", "a")):
        monkeypatch.setattr(time, "time", lambda seconds=seconds: start + seconds)
        telemetry.hear(events.Evaluated(track, task, 5, 80, 0.9, 0.03, 100, None, None))
    monkeypatch.setattr(time, "time", lambda: start + 60)
    ages = Scrape(registry)
    assert ages.value("holdout_age_seconds", task="a") == pytest.approx(60)
    assert ages.value("holdout_age_seconds", task="b") == pytest.approx(50)
    telemetry.hear(events.Evaluated("main", "a", 9, 144, 0.9, 0.03, 100, 0.05, 0.01))
    assert Scrape(registry).value("holdout_age_seconds", task="a") == 0


def test_after_a_restart_a_holdout_is_at_least_as_old_as_the_checkpoint() -> None:
    state, _ = learn(memory_broker(digits_stream()), settings(model=DIGITS))
    registry = CollectorRegistry()
    Telemetry(registry).resume(state.ledger, state.measures(), time.time() - 1000)
    ages = Scrape(registry).samples("holdout_age_seconds")
    assert len(ages) == 3
    assert all(age == pytest.approx(1000, abs=60) for age in ages.values())


@pytest.mark.parametrize("saved_forgetting", [True, False])
def test_forgetting_that_an_older_version_has_saved_is_shown_with_an_error_of_independent_samples(
    saved_forgetting: bool,
) -> None:
    """Without it the alert, which takes the error off, could not fire."""
    chosen = settings(model=DIGITS)
    state, heard = learn(memory_broker(digits_stream()), chosen)
    measured = state.measures()["main"]
    for live in measured.live.values():
        live.forgetting = live.forgetting if saved_forgetting else None
        live.forgetting_standard_error = None
    before, after = CollectorRegistry(), CollectorRegistry()
    tell(Telemetry(before), heard.events)
    Telemetry(after).resume(state.ledger, state.measures(), time.time())
    for task in state.ledger.tasks.known:
        live, best = measured.live[task.name], measured.accuracy.best(task.number)
        assert best is not None
        variance = best * (1 - best) / live.samples + live.standard_error**2
        error = Scrape(after).value("forgetting_standard_error_ratio", track="main", task=task.name)
        assert error == pytest.approx(math.sqrt(variance))
    shown = Scrape(after).samples("forgetting_ratio")
    assert len(shown) == 3
    assert Scrape(before).samples("forgetting_ratio").keys() <= shown.keys()


def test_a_best_that_rounding_makes_more_than_all_has_an_error_all_the_same() -> None:
    state, _ = learn(memory_broker(digits_stream()), settings(model=DIGITS))
    name = state.ledger.tasks.known[0].name
    accuracy, forgetting = 0.35, 1.0000000000000002 - 0.35
    assert accuracy + forgetting > 1
    live = Live(accuracy=accuracy, samples=72, step=1, forgetting=forgetting)
    state.measures()["main"].live[name] = live
    registry = CollectorRegistry()
    Telemetry(registry).resume(state.ledger, state.measures(), time.time())
    shown = Scrape(registry).value("forgetting_standard_error_ratio", track="main", task=name)
    assert shown == pytest.approx(live.standard_error)


def test_a_broker_is_away_since_it_was_first_asked_in_vain(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    registry = CollectorRegistry()
    telemetry = Telemetry(registry)
    start = time.time()

    def away(seconds: float) -> float:
        monkeypatch.setattr(time, "time", lambda: start + seconds)
        return Scrape(registry).value("broker_away_seconds")

    assert away(50) == 0
    telemetry.asks_broker()
    assert away(60) == pytest.approx(10)
    telemetry.asks_broker()
    assert away(90) == pytest.approx(40)
    telemetry.hears_broker()
    assert away(100) == 0


def test_a_partition_that_is_awaited_has_its_age_and_the_others_none() -> None:
    registry = CollectorRegistry()
    telemetry = Telemetry(registry)
    telemetry.watch_partitions(3)
    assert awaited(registry) == [False, False, False]
    telemetry.hear(events.Awaiting(1))
    assert awaited(registry) == [False, True, False]
    telemetry.hear(events.Awaiting(None))
    assert awaited(registry) == [False, False, False]


def awaited(registry: CollectorRegistry) -> list[bool]:
    scrape = Scrape(registry)
    return [scrape.value("partition_awaited_seconds", partition=str(n)) > 0 for n in range(3)]
