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
from simulators.reproductions.paper.trial import begin_arm, run_arm
from simulators.reproductions.paper.unfinished import SOFAR, Unfinished
from tests.simulators.reproductions.paper.making import DIGITS

ARMS = [
    Arm(SI, 1.0, 2, 3),
    Arm(SI, 1.0, 2, 3, variation="relu-by-task"),
    Arm(SI, 1.0, 2, 3, variation="adam-anew"),
    Arm(SI, 1.0, 2, 3, variation="glorot-heads"),
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


def first_share(
    path: Path, arm: Arm = ARMS[0], seed: int = 0, beginning: Path | None = None
) -> float:
    """Where a run begins."""
    shares: list[float] = []
    with pytest.raises(Stopped):
        run_arm(
            *(DIGITS, arm, seed),
            device="cpu",
            progress=shares.append,
            stop=lambda: bool(shares),
            unfinished=path,
            beginning=beginning,
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
    monkeypatch.setattr(trial, "code", lambda: "another")
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


@pytest.mark.parametrize(
    "arm", [arm for arm in ARMS if arm.until_its_first_boundary()], ids=lambda arm: arm.name(DIGITS)
)
def test_from_the_beginning_that_all_strengths_share_it_leaves_the_record_that_it_would_have_left(
    arm: Arm, tmp_path: Path
) -> None:
    common = arm.until_its_first_boundary()
    assert common is not None
    path, shares = tmp_path / "beginning.safetensors", [0.0]
    with pytest.raises(Stopped):
        begin_arm(DIGITS, common, 0, path, device="cpu", stop=after(16))
    begin_arm(DIGITS, common, 0, path, device="cpu", progress=shares.append)
    assert shares[1] > 0.2  # it goes on
    assert shares[-1] == 1.0
    kept = path.read_bytes()
    begin_arm(DIGITS, common, 0, path, device="cpu")
    assert path.read_bytes() == kept
    told: list[float] = []
    record = run_arm(DIGITS, arm, 0, device="cpu", progress=told.append, beginning=path)
    assert told[0] > 0.3  # of three tasks
    assert without_seconds(record) == without_seconds(run_arm(DIGITS, arm, 0, device="cpu"))


def test_a_beginning_is_none_to_other_seeds_and_methods(tmp_path: Path) -> None:
    path = tmp_path / "beginning.safetensors"
    begin_arm(DIGITS, Arm(SI, 0.0, 2, 3), 0, path, device="cpu")
    alone = first_share(tmp_path / "run.safetensors")
    for arm, seed in ((ARMS[0], 1), (ARMS[3], 0), (ARMS[4], 0), (Arm("ewc", 1.0, 2, 3), 0)):
        elsewhere = tmp_path / f"{arm.name(DIGITS)}.safetensors"
        assert first_share(elsewhere, arm, seed, beginning=path) < 2 * alone


def test_a_first_task_of_one_batch_is_no_beginning(tmp_path: Path) -> None:
    path = tmp_path / "beginning.safetensors"
    begin_arm(DIGITS, Arm(SI, 0.0, 1, 3, samples=10), 0, path, device="cpu")
    assert not path.exists()


def test_nothing_else_is_left_beside_it(tmp_path: Path) -> None:
    stopped(tmp_path / "run.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["run.safetensors"]
