"""Files that are wholly there or not at all, and are what their name says."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from si_stream.checkpoints import files
from si_stream.errors import CheckpointError, CorruptCheckpoint


@contextmanager
def no_file_above(size_bytes: int) -> Iterator[None]:
    """The kernel refuses to let any file of this process grow further: a full disk for root too."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def committed(directory: Path, number: int, data: bytes) -> Path:
    name = files.name(number, files.sha256(data), ".bin")
    return files.commit_file(directory, name, data)


def test_a_committed_file_is_there_under_its_name_alone(tmp_path: Path) -> None:
    path = committed(tmp_path, 7, b"data")
    assert [*tmp_path.iterdir()] == [path]
    assert files.parse_name(path) == (7, files.sha256(b"data"))
    assert files.read_checked(path, files.sha256(b"data")) == b"data"


def test_the_newest_has_the_highest_number_and_others_are_not_looked_at(tmp_path: Path) -> None:
    paths = [committed(tmp_path, number, bytes([number])) for number in (9, 100, 10)]
    for name in (f"{files.TEMPORARY}12", "notes.txt", f"{1:012d}-short.bin"):
        (tmp_path / name).touch()
    assert [*files.newest_first(tmp_path)] == [paths[1], paths[2], paths[0]]
    assert files.next_number(tmp_path) == 101


def test_a_directory_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert [*files.newest_first(tmp_path / "nowhere")] == []
    assert files.next_number(tmp_path / "nowhere") == 1


def test_what_cannot_be_written_leaves_no_trace_and_is_said_in_one_line(tmp_path: Path) -> None:
    before = committed(tmp_path, 1, b"before")
    with no_file_above(100), pytest.raises(CheckpointError) as raised:
        committed(tmp_path, 2, b"x" * 200)
    assert str(raised.value) == (
        f"cannot write into {tmp_path}: File too large; make room or mend the directory's "
        "permissions, then start again"
    )
    assert [*tmp_path.iterdir()] == [before]


def test_a_file_where_the_directory_should_be_is_said_too(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match=r"cannot write into .*: Not a directory"):
        committed(tmp_path / "file", 1, b"data")


def test_a_file_of_another_content_than_its_digest_is_refused(tmp_path: Path) -> None:
    path = committed(tmp_path, 1, b"data")
    with pytest.raises(CorruptCheckpoint, match=r"\(4 bytes\) does not have the SHA-256"):
        files.read_checked(path, files.sha256(b"other"))
    path.unlink()
    with pytest.raises(CorruptCheckpoint, match="cannot be read: No such file"):
        files.read_checked(path, files.sha256(b"data"))


def test_left_overs_are_removed_and_nothing_else(tmp_path: Path) -> None:
    path = committed(tmp_path, 1, b"data")
    (tmp_path / f"{files.TEMPORARY}1").write_bytes(b"half")
    (tmp_path / f"{files.TEMPORARY}2" / "inside").mkdir(parents=True)
    files.remove_left_overs(tmp_path)
    assert [*tmp_path.iterdir()] == [path]
