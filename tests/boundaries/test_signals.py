"""Signals: numbers that rise when the world changes, and the same ones after a resume."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch

from si_stream.boundaries import signals
from si_stream.boundaries.drift import Alarm, DriftWatch
from si_stream.boundaries.kept_inputs import KEPT_BYTES
from si_stream.boundaries.options import DetectionOptions, DetectorKind, SignalName
from si_stream.boundaries.signals import LOOKED_AT, Seen, build_signal

SHAPE, LABELS = (12,), 2
NAMES: tuple[SignalName, ...] = get_args(SignalName)
every_signal = pytest.mark.parametrize("name", NAMES)


def drawn(count: int, *, changed_at: int | None = None, seed: int = 0) -> Seen:
    """Inputs about 0, logits that are sure and to 5 % wrong; then all is changed."""
    random = np.random.default_rng(seed)
    changed = np.arange(count) >= (count if changed_at is None else changed_at)
    inputs = random.normal(2.0 * changed[:, None], 1.0, (count, *SHAPE))
    labels = torch.tensor(random.integers(0, LABELS, count))
    is_wrong = random.random(count) < np.where(changed, 0.5, 0.05)
    answers = torch.where(torch.tensor(is_wrong), 1 - labels, labels)
    logits = 3.0 * torch.nn.functional.one_hot(answers, LABELS).float()
    return Seen(torch.tensor(inputs, dtype=torch.float32), labels, logits, torch.tensor(is_wrong))


def part(seen: Seen, begin: int, end: int) -> Seen:
    return Seen(*(tensor[begin:end] for tensor in seen))


def watched(*names: SignalName) -> DriftWatch:
    options = DetectionOptions(kind="adwin", signals=names)
    return DriftWatch(options, SHAPE, LABELS)


def first_alarm(watch: DriftWatch, seen: Seen, begin: int = 0, batch: int = 64) -> Alarm | None:
    for at in range(begin, len(seen[1]), batch):
        if alarm := watch.see(part(seen, at, at + batch)):
            return alarm
    return None


@every_signal
def test_it_carries_its_name_and_gives_numbers_from_0_to_1(name: SignalName) -> None:
    signal = build_signal(name, SHAPE, LABELS, 2048)
    assert signal.name == name
    seen = drawn(4096)
    read = [signal.read(part(seen, n, n + 64), n) for n in range(0, 4096, 64)]
    values = np.concatenate([one.values for one in read])
    assert ((values >= 0) & (values <= 1)).all()
    assert 0 < values.mean() < 0.2


@every_signal
def test_a_change_is_found_where_it_was(name: SignalName) -> None:
    alarm = first_alarm(watched(name), drawn(5000, changed_at=4011))
    assert alarm is not None
    assert alarm.signal == name
    step = LOOKED_AT if name == "inputs" else 1
    assert 4011 <= alarm.sample < 4011 + 100 * step
    assert abs(alarm.cut - 4011) <= 5


@every_signal
def test_a_world_that_stays_does_not_alarm(name: SignalName) -> None:
    assert first_alarm(watched(name), drawn(100_000)) is None


@pytest.mark.parametrize("at", [0, 64, 1024, 1984, 2048, 3968, 4032])
@pytest.mark.parametrize("names", [*[(name,) for name in NAMES], ("errors", "inputs")])
def test_saved_and_loaded_anywhere_it_alarms_at_the_same_sample(
    names: tuple[SignalName, ...], at: int
) -> None:
    seen = drawn(5000, changed_at=4051)
    expected, before, resumed = first_alarm(watched(*names), seen), watched(*names), watched(*names)
    assert expected is not None
    assert first_alarm(before, part(seen, 0, at)) is None
    resumed.load(before.state())
    assert first_alarm(resumed, seen, begin=at) == expected


@pytest.mark.parametrize("at", [2240, 2304, 4032])
def test_a_checkpoint_that_has_the_inputs_waiting_to_be_looked_at_is_gone_on_from(at: int) -> None:
    """Of an older version; now it has their number, for they are among those that are kept."""
    seen = drawn(5000, changed_at=4051)
    before, resumed = watched("inputs"), watched("inputs")
    assert first_alarm(before, part(seen, 0, at)) is None
    state = before.state()
    waiting = at // LOOKED_AT % signals.TOGETHER
    assert state["inputs/signal.waiting"] == waiting
    shown = seen.inputs.numpy()[:at:LOOKED_AT]
    resumed.load(state | {"inputs/signal.waiting": shown[len(shown) - waiting :]})
    assert first_alarm(resumed, seen, begin=at) == first_alarm(watched("inputs"), seen)


def test_labels_that_were_never_seen_are_errors_whatever_the_inputs_look_like() -> None:
    inputs, _, logits, _ = drawn(64)
    labels = torch.full((64,), 2)
    wider = torch.cat([logits, torch.full((64, 1), -10.0)], 1)
    wrong = wider.argmax(1) != labels
    for name in ("errors", "losses"):
        read = build_signal(name, SHAPE, 3, 2048).read(Seen(inputs, labels, wider, wrong), 0)
        assert (read.values > 0.99).all()


def test_inputs_that_change_without_an_error_are_seen_by_the_inputs_alone() -> None:
    inputs, labels, logits, wrong = drawn(5000)
    changed = inputs.clone()
    changed[4000:] += 2.0
    assert first_alarm(watched("errors"), Seen(changed, labels, logits, wrong)) is None
    alarm = first_alarm(watched("errors", "inputs"), Seen(changed, labels, logits, wrong))
    assert alarm is not None
    assert alarm.signal == "inputs"
    assert abs(alarm.cut - 4000) <= 1  # of the kept ones each is looked at


def test_of_two_signals_the_earlier_alarm_is_told() -> None:
    seen = drawn(5000, changed_at=4011)
    both = first_alarm(watched("errors", "inputs"), seen)
    alone = [first_alarm(watched(name), seen) for name in ("errors", "inputs")]
    assert both is not None
    assert both.sample == min(alarm.sample for alarm in alone if alarm)


def test_what_was_kept_of_errors_alone_is_gone_on_from_with_more_signals() -> None:
    seen, before, resumed = drawn(5000, changed_at=4011), watched("errors"), watched(*NAMES)
    first_alarm(before, part(seen, 0, 1024))
    resumed.load(before.state())
    alarm = first_alarm(resumed, seen, begin=1024)
    assert alarm is not None
    assert abs(alarm.cut - 4011) <= 5


def test_inputs_of_which_one_number_is_far_from_0_are_watched_too() -> None:
    inputs, *others = drawn(5000, changed_at=4011)
    inputs[:, 0] = 1.7e9 + torch.arange(5000) * 60
    alarm = first_alarm(watched("inputs"), Seen(inputs, *others))
    assert alarm is None or alarm.sample >= 2048
    inputs[:, 0] = 1.7e9
    alarm = first_alarm(watched("inputs"), Seen(inputs, *others))
    assert alarm is not None
    assert abs(alarm.cut - 4011) <= 5


def test_of_a_head_without_an_output_each_loss_is_the_largest() -> None:
    """And the detector is not fed what is no number, which would make it deaf."""
    seen = drawn(5000, changed_at=4011)
    logits = seen.logits.clone()
    logits[:64] = -torch.inf
    read = build_signal("losses", SHAPE, LABELS, 2048).read(
        Seen(seen.inputs[:64], seen.labels[:64], logits[:64], seen.wrong[:64]), 0
    )
    assert (read.values == 1).all()
    assert first_alarm(watched("losses"), seen._replace(logits=logits)) is not None


@pytest.mark.parametrize("kind", ["page-hinkley", "hddm"])
def test_of_another_detector_the_values_are_gone_on_from(kind: DetectorKind) -> None:
    """It was changed on purpose; else settings of before it are refused."""
    seen, before = drawn(5000, changed_at=4011), watched("errors", "inputs")
    assert first_alarm(before, part(seen, 0, 3008)) is None
    options = DetectionOptions(kind=kind, signals=("errors", "inputs"))
    resumed = DriftWatch(options, SHAPE, LABELS)
    resumed.load(before.state())
    assert resumed.seen == 3008
    alarm = first_alarm(resumed, seen, begin=3008)
    assert alarm is not None
    assert abs(alarm.cut - 4011) <= 5


def test_what_a_checkpoint_tells_of_usual_inputs_are_squared_distances() -> None:
    """Chi-squared of as many degrees as an input has numbers: those of older versions are, too."""
    watch = watched("inputs")
    assert first_alarm(watch, part(drawn(2112), 0, 2112)) is None
    usual = watch.state()["inputs/signal.usual"]
    assert len(usual) == 1024
    assert usual.mean() == pytest.approx(SHAPE[0], rel=0.15)


def test_errors_that_are_watched_from_later_on_than_inputs_alarm_too() -> None:
    seen, before, resumed = drawn(5000, changed_at=4011), watched("inputs"), watched(*NAMES)
    assert first_alarm(before, part(seen, 0, 3008)) is None
    resumed.load(before.state())
    alarm = first_alarm(resumed, seen, begin=3008)
    assert alarm is not None
    assert abs(alarm.cut - 4011) <= 5


def blurred(count: int, changed_at: int, seed: int) -> Seen:
    """A change behind which half of the predictions are right by chance, and all inputs differ."""
    inputs, labels, logits, wrong = drawn(count, changed_at=changed_at, seed=seed)
    inputs[changed_at:] += 4.0
    return Seen(inputs, labels, logits, wrong)


def test_the_inputs_say_which_of_the_samples_around_a_change_was_the_first() -> None:
    alone: list[int] = []
    both: list[int] = []
    for seed in range(20):
        seen = blurred(3000, 2500 + seed, seed)
        for names, misses in ((("errors",), alone), (("errors", "inputs"), both)):
            alarm = first_alarm(watched(*names), seen)
            assert alarm is not None
            misses.append(abs(alarm.cut - 2500 - seed))
    assert max(both) <= 1
    assert np.mean(alone) > 1


def test_inputs_that_look_as_before_do_not_move_a_cut() -> None:
    inputs, labels, logits, wrong = drawn(3000, changed_at=2500)
    inputs[2500:] -= 2.0
    seen = Seen(inputs, labels, logits, wrong)
    alarms = [first_alarm(watched(*names), seen) for names in (("errors",), ("errors", "inputs"))]
    assert alarms[0] is not None
    assert alarms[1] is not None
    assert alarms[0].cut == alarms[1].cut


def test_of_large_inputs_fewer_are_kept() -> None:
    fitting = 1000
    shape = (KEPT_BYTES // 4 // fitting,)
    random = torch.Generator().manual_seed(0)
    watch = DriftWatch(DetectionOptions(kind="adwin", signals=("inputs",)), shape, LABELS)
    inputs = [torch.randn((64, *shape), generator=random) for _ in range(64)]
    for batch in inputs:
        watch.see(Seen(batch, *drawn(64)[1:]))
    kept = watch.state()["inputs/signal.kept"]
    assert np.array_equal(kept, torch.cat(inputs)[-fitting:])


@every_signal
def test_a_cut_lies_among_the_last_samples_however_few_values_there_are(name: SignalName) -> None:
    options = DetectionOptions(kind="adwin", signals=(name,), window_samples=512)
    watch = DriftWatch(options, SHAPE, LABELS)
    alarm = first_alarm(watch, drawn(20_000, changed_at=16_011))
    assert alarm is not None
    samples = watch.watches[0].state(watch.seen)["samples"]
    assert watch.seen - 512 <= samples[0] <= alarm.cut <= alarm.sample <= samples[-1]


@pytest.mark.parametrize("batch", [1, 7, 64, 300])
def test_inputs_looked_at_together_alarm_no_later_than_one_at_a_time(
    batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = drawn(6000, changed_at=4051)
    together = first_alarm(watched("inputs"), seen, batch=batch)
    monkeypatch.setattr(signals, "TOGETHER", 1)
    assert together == first_alarm(watched("inputs"), seen, batch=batch)
    assert together is not None


def test_inputs_too_large_to_be_kept_for_long_are_looked_at_at_once() -> None:
    seen = drawn(2112)
    wide = seen._replace(inputs=seen.inputs.repeat(1, KEPT_BYTES // seen.inputs[0].nbytes // 200))
    signal = build_signal("inputs", tuple(wide.inputs.shape[1:]), LABELS, 2048)
    read = [signal.read(part(wide, n, n + 64), n) for n in range(0, 2112, 64)]
    assert len(read[-1].samples) == 64 // LOOKED_AT
