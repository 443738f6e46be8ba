"""Runs that are stopped: they go on where they were, and leave the same record."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
from safetensors import safe_open
from safetensors.torch import save_file

from si_stream.errors import DataError
from simulators.reproductions.jobs import Stopped
from simulators.reproductions.paper import trial
from simulators.reproductions.paper.arm import Arm
from simulators.reproductions.paper.catalogue import JOINT, NONE, SCRATCH, SI
from simulators.reproductions.paper.record import PaperRecord
from simulators.reproductions.paper.trial import run_arm
from simulators.reproductions.paper.unfinished import SOFAR, Unfinished
from tests.simulators.reproductions.paper.making import DIGITS

ARMS = [
    Arm(SI, 1.0, 2, 3),
    Arm(SI, 1.0, 2, 3, variation="relu-by-task"),
    Arm(SI, 1.0, 2, 3, validation=True),
    Arm(NONE, None, 2, 3),
    Arm("ewc", 10.0, 2, 3),
    Arm("lwf", 1.0, 2, 3),
    Arm("slow-trunk", None, 2, 3),
    Arm("dropout", None, 2, 3),
    Arm(SCRATCH, None, 2, 3),
    Arm(JOINT, None, 2, 3),
]


def after(batches: int) -> Callable[[], bool]:
    """Whether to stop: not at the first so many times that it is asked."""
    asked = count()
    return lambda: next(asked) >= batches


def without_seconds(record: PaperRecord) -> dict[str, object]:
    return record.model_dump(exclude={"seconds"})


@pytest.mark.parametrize("arm", ARMS, ids=lambda arm: arm.name(DIGITS))
def test_stopped_again_and_again_it_leaves_the_record_that_it_would_have_left(
    arm: Arm, tmp_path: Path
) -> None:
    whole = run_arm(DIGITS, arm, 0, device="cpu")
    path = tmp_path / "unfinished" / "run.safetensors"
    stops, shares = 0, [0.0]
    record: PaperRecord | None = None
    while record is None:
        begun = len(shares)
        try:
            record = run_arm(
                *(DIGITS, arm, 0),
                device="cpu",
                progress=shares.append,
                stop=after(23),
                unfinished=path,
            )
        except Stopped:
            assert path.is_file()
            assert shares[begun] > shares[begun - 1]  # it goes on
            stops += 1
    assert stops >= 2
    assert without_seconds(record) == without_seconds(whole)


def stopped(path: Path, arm: Arm = ARMS[0]) -> None:
    with pytest.raises(Stopped):
        run_arm(DIGITS, arm, 0, device="cpu", stop=after(30), unfinished=path)


def first_share(path: Path, arm: Arm = ARMS[0], seed: int = 0) -> float:
    """Where a run begins."""
    shares: list[float] = []
    with pytest.raises(Stopped):
        run_arm(
            *(DIGITS, arm, seed),
            device="cpu",
            progress=shares.append,
            stop=lambda: bool(shares),
            unfinished=path,
        )
    return shares[0]


def test_what_was_made_otherwise_is_no_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.safetensors"
    beginning = first_share(path)
    stopped(path)
    assert first_share(path) > beginning
    stopped(path)
    assert first_share(path, seed=1) == beginning
    stopped(path)
    assert first_share(path, Arm(SI, 0.5, 2, 3)) == beginning
    stopped(path)
    monkeypatch.setattr(trial, "commit", lambda: "another")
    assert first_share(path) == beginning


def test_a_damaged_file_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    stopped(path)
    for damage in (b"", b"no safetensors", path.read_bytes()[:-100]):
        path.write_bytes(damage)
        with pytest.raises(DataError, match=r"is damaged: delete it, and the run begins anew"):
            run_arm(DIGITS, ARMS[0], 0, device="cpu", unfinished=path)


def test_a_file_of_another_form_is_an_error_too(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    stopped(path)
    with safe_open(path, "pt") as file:
        told = json.loads(file.metadata()[SOFAR])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    save_file(tensors, path, {SOFAR: json.dumps(told | {"news": 1})})
    with pytest.raises(DataError, match="delete it"):
        Unfinished.read(path, told["made"])


def test_nothing_else_is_left_beside_it(tmp_path: Path) -> None:
    stopped(tmp_path / "run.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["run.safetensors"]
