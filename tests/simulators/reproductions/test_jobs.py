from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from si_stream.errors import ProcessEnded, SettingsError
from simulators.reproductions import screen
from simulators.reproductions.jobs import Job, Watcher, run_jobs
from simulators.reproductions.screen import Estimate, Lines
from tests.simulators.reproductions import working
from tests.simulators.reproductions.working import Dying, Failing, Waiting, Writing


class Heard(Watcher):
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.shares: list[tuple[str, float]] = []

    def going(self, job: Job, share: float) -> None:
        self.shares.append((job.name, share))

    def done(self, job: Job, line: str) -> None:
        self.lines.append(line)


def test_all_are_done_by_processes_of_their_own(tmp_path: Path) -> None:
    heard = Heard()
    jobs = [Job(name, 1.0, Writing(tmp_path / name)) for name in "abc"]
    assert run_jobs(jobs, 2, heard)
    assert sorted(heard.lines) == ["wrote a", "wrote b", "wrote c"]
    assert 1 <= len({path.read_text() for path in tmp_path.iterdir()}) <= 2


def test_those_at_work_stop_when_they_are_asked_to_and_the_others_never_begin(
    tmp_path: Path,
) -> None:
    heard = Heard()
    jobs = [Job(name, 1.0, Waiting(tmp_path / name)) for name in "abcdef"]
    stopped = run_jobs(jobs, 1, heard, stop=lambda: ("a", 0.5) in heard.shares)
    assert not stopped
    assert heard.lines == []
    assert not (tmp_path / "f").exists()


def test_what_comes_after_another_waits_until_that_is_done(tmp_path: Path) -> None:
    heard = Heard()
    first = Job("a", 1.0, Writing(tmp_path / "a"))
    last = Job("b", 1.0, Writing(tmp_path / "b"), after="a")
    assert run_jobs([last, first], 2, heard)
    assert heard.lines == ["wrote a", "wrote b"]


def test_what_comes_after_one_that_fails_never_begins(tmp_path: Path) -> None:
    jobs = [Job("fails", 1.0, Failing()), Job("b", 1.0, Writing(tmp_path / "b"), "fails")]
    with pytest.raises(SettingsError, match="no good"):
        run_jobs(jobs, 2, Heard())
    assert not (tmp_path / "b").exists()


def test_the_error_of_one_ends_the_others(tmp_path: Path) -> None:
    jobs = [Job("waits", 1.0, Waiting(tmp_path / "a")), Job("fails", 1.0, Failing())]
    with pytest.raises(SettingsError, match="no good"):
        run_jobs(jobs, 2, Heard())


def test_a_process_that_dies_is_an_error() -> None:
    with pytest.raises(ProcessEnded, match="ask for fewer --processes"):
        run_jobs([Job("dies", 1.0, Dying())], 1, Heard())


@contextmanager
def a_command(directory: Path) -> Iterator[subprocess.Popen[str]]:
    """With two processes of its own at work and one idle."""
    call = f"from pathlib import Path; from {working.__name__} import keep_at_it"
    call += f"; keep_at_it(Path({str(directory)!r}))"
    with subprocess.Popen(
        [sys.executable, "-c", call],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as command:
        try:
            wait_until(lambda: len(list(directory.iterdir())) == 3)
            yield command
        finally:
            command.kill()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_there(process: int) -> bool:
    """And no zombie, which a machine without an init keeps."""
    try:
        told = Path(f"/proc/{process}/stat").read_text()
    except FileNotFoundError:
        return False
    return told.rpartition(")")[2].split()[0] != "Z"


def those_who_stopped(directory: Path) -> list[int]:
    told = [(directory / name).read_text().partition(" ") for name in ("a", "b")]
    return [int(process) for process, _, what in told if what == "has stopped"]


def test_when_the_command_is_killed_its_processes_keep_what_they_have_and_end(
    tmp_path: Path,
) -> None:
    with a_command(tmp_path) as command:
        command.kill()
        idle = int((tmp_path / "c").read_text())
        wait_until(lambda: len(those_who_stopped(tmp_path)) == 2)
        wait_until(lambda: not any(map(is_there, [idle, *those_who_stopped(tmp_path)])))


def test_where_all_processes_are_told_to_end_those_at_work_keep_what_they_have(
    tmp_path: Path,
) -> None:
    with a_command(tmp_path) as command:
        os.killpg(command.pid, signal.SIGTERM)
        assert command.communicate(timeout=60) == ("stopped\n", "")
        assert len(those_who_stopped(tmp_path)) == 2


def test_a_process_that_is_told_to_end_ends_the_others_too(tmp_path: Path) -> None:
    with a_command(tmp_path) as command:
        process, _, _ = (tmp_path / "a").read_text().partition(" ")
        os.kill(int(process), signal.SIGTERM)
        _, told = command.communicate(timeout=60)
        assert "ProcessEnded" in told
        assert len(those_who_stopped(tmp_path)) == 2


def test_the_time_left_counts_long_jobs_for_more(capsys: pytest.CaptureFixture[str]) -> None:
    long, short = (Job(name, seconds, Failing()) for name, seconds in (("long", 90), ("short", 10)))
    estimate = Estimate([long, short])
    estimate.note(short, 1.0)
    assert estimate.share == pytest.approx(0.1)
    estimate.note(long, 0.5)
    assert estimate.share == pytest.approx(0.55)
    begun = Estimate([long, Job("begun", 100, Failing(), done=0.5)])
    assert begun.share == pytest.approx(50 / 190)
    lines = Lines([long, short])
    lines.done(long, "it went well")
    assert capsys.readouterr().err.startswith("it went well (1 of 2 runs, ")


def test_where_there_are_no_bars_a_long_run_says_now_and_then_how_far_it_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = Job("long", 5400.0, Failing())
    lines = Lines([job])
    lines.going(job, 0.24)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(screen, "LINE_SECONDS", 0.0)
    lines.going(job, 0.25)
    assert capsys.readouterr().err.startswith("25% done (0 of 1 runs, ")
