"""What every detector promises; a new one is covered by its name in the options."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import get_args

import numpy as np
import numpy.typing as npt
import pytest

from si_stream.boundaries.detectors import Detector, build_detector
from si_stream.boundaries.options import DetectorKind
from si_stream.errors import CheckpointError
from tests.learning.test_imports import output_of

Errors = npt.NDArray[np.bool_]

KINDS: tuple[DetectorKind, ...] = get_args(DetectorKind)
every_detector = pytest.mark.parametrize("kind", KINDS)


def errors(*rates_and_samples: tuple[float, int], seed: int = 0) -> Errors:
    generator = np.random.default_rng(seed)
    return np.concatenate([generator.random(n) < rate for rate, n in rates_and_samples])


def change(*, seed: int = 0) -> Errors:
    """5 % of errors, and from sample 500 on 60 %."""
    return errors((0.05, 500), (0.6, 500), seed=seed)


def alarm_of(detector: Detector, pieces: Iterable[Errors]) -> int | None:
    """Where it first alarms, counted over all pieces."""
    fed = 0
    for piece in pieces:
        index = detector.alarmed(piece)
        if index is not None:
            return fed + index
        fed += len(piece)
    return None


@every_detector
def test_it_carries_its_name(kind: DetectorKind) -> None:
    assert build_detector(kind).name == kind


@every_detector
@pytest.mark.parametrize("seed", range(3))
def test_a_step_from_5_to_60_percent_errors_is_found(kind: DetectorKind, seed: int) -> None:
    index = build_detector(kind).alarmed(change(seed=seed))
    assert index is not None
    assert 500 <= index < 600


@every_detector
def test_errors_that_become_rarer_do_not_alarm(kind: DetectorKind) -> None:
    learning = errors((0.6, 300), (0.3, 300), (0.05, 300), (0.0, 300))
    assert build_detector(kind).alarmed(learning) is None


@every_detector
def test_what_became_worse_after_it_became_better_is_found(kind: DetectorKind) -> None:
    index = build_detector(kind).alarmed(errors((0.6, 300), (0.02, 500), (0.6, 200)))
    assert index is not None
    assert 800 <= index < 950


@every_detector
def test_pieces_of_any_size_alarm_at_the_same_sample(kind: DetectorKind) -> None:
    wrong = change()
    index = build_detector(kind).alarmed(wrong)
    assert index is not None
    for size in (1, 7, 64):
        pieces = np.split(wrong, range(size, len(wrong), size))
        assert alarm_of(build_detector(kind), pieces) == index


@every_detector
def test_no_errors_at_all_change_nothing(kind: DetectorKind) -> None:
    detector = build_detector(kind)
    before = detector.state()
    assert detector.alarmed(np.zeros(0, dtype=bool)) is None
    assert detector.state() == before


@every_detector
@pytest.mark.parametrize("saved_at", [0, 1, 250, 505])
def test_saved_and_loaded_in_between_it_alarms_at_the_same_sample(
    kind: DetectorKind, saved_at: int
) -> None:
    wrong = change()
    detector, other = build_detector(kind), build_detector(kind)
    assert detector.alarmed(wrong[:saved_at]) is None
    state = detector.state()
    other.alarmed(errors((0.3, 77), seed=1))  # is forgotten
    other.load(state)
    assert other.state() == state
    assert detector.alarmed(wrong[saved_at:]) == other.alarmed(wrong[saved_at:]) is not None
    assert other.state() == detector.state()


@every_detector
def test_saving_changes_nothing(kind: DetectorKind) -> None:
    detector = build_detector(kind)
    detector.alarmed(errors((0.1, 250)))
    assert detector.state() == detector.state()


@every_detector
def test_a_reset_forgets_everything(kind: DetectorKind) -> None:
    detector = build_detector(kind)
    detector.alarmed(change())
    detector.reset()
    assert detector.state() == build_detector(kind).state()
    assert detector.alarmed(change(seed=1)) == build_detector(kind).alarmed(change(seed=1))


@every_detector
def test_an_alarm_resets_it_and_fed_on_it_finds_the_next_change(kind: DetectorKind) -> None:
    wrong = errors((0.0, 300), (0.5, 600), (1.0, 200))
    detector = build_detector(kind)
    index = detector.alarmed(wrong)
    assert index is not None
    assert index < 450
    assert detector.state() == build_detector(kind).state()
    again = detector.alarmed(wrong[index + 1 :])
    assert again is not None
    assert 900 <= index + 1 + again < 1050


def test_the_default_is_silent_over_200_000_samples_that_do_not_change() -> None:
    for floor in (0.05, 0.2):
        detector = build_detector("adwin")
        assert detector.alarmed(errors((floor, 200_000))) is None


def test_the_default_keeps_what_it_knew_when_errors_become_rarer() -> None:
    # river's own wrapper would empty its window and need some 30 samples to know anything.
    detector = build_detector("adwin")
    detector.alarmed(errors((0.5, 320), (0.0, 96)))
    index = detector.alarmed(np.ones(32, dtype=bool))
    assert index is not None
    assert index < 32


@every_detector
def test_a_state_of_another_river_is_refused_with_what_to_install(kind: DetectorKind) -> None:
    head, rest = build_detector(kind).state().split(b"\n", 1)
    older = json.dumps(json.loads(head) | {"river": "0.20.0"}).encode()
    with pytest.raises(CheckpointError, match=r"river 0\.20\.0.*install river==0\.20\.0"):
        build_detector(kind).load(older + b"\n" + rest)


@every_detector
def test_a_state_of_another_detector_is_refused_by_name(kind: DetectorKind) -> None:
    other = KINDS[KINDS.index(kind) - 1]
    with pytest.raises(CheckpointError, match=f"'{other}'.*'{kind}'"):
        build_detector(kind).load(build_detector(other).state())


def test_river_is_loaded_for_a_detector_alone_and_the_default_needs_little_of_it() -> None:
    loaded = "[name for name in ('river', 'river.drift', 'scipy') if name in sys.modules]"
    code = f"""
import sys
from si_stream.boundaries.detectors import build_detector
import si_stream.boundaries.adwin, si_stream.boundaries.river_detectors, si_stream.loop
print({loaded})
build_detector("adwin")
print({loaded})
"""
    assert output_of(code).splitlines() == ["[]", "['river']"]
