"""Disks that are full, slow, read-only or no disks."""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from services.doctor.disk import (
    FEW_INODES,
    kind_of,
    look,
    of_inodes,
    of_kind,
    of_latency,
    of_log,
    used_bytes,
)
from services.doctor.network import full_size
from tests.services.doctor.models import checkpointed, named, state_of
from tests.services.test_checkpointing import read_only
from tests.streams import settings

WRITING, SPACE = "disk: writing", "disk: free space"


def test_where_it_can_be_written_the_file_that_shows_it_is_gone(tmp_path: Path) -> None:
    directory = tmp_path / "not" / "yet"
    kind, text = state_of(look(settings(directory)), WRITING)
    assert kind == "ok"
    assert f"4 KiB are on the disk of {tmp_path} after " in text
    assert [*tmp_path.iterdir()] == []


def test_a_directory_that_is_read_only_is_told_of() -> None:
    with TemporaryDirectory() as name, read_only(Path(name)):
        kind, text = state_of(look(settings(Path(name) / "model")), WRITING)
    assert kind == "fail"
    assert f"{name} cannot be written: Permission denied → make room" in text


def test_a_file_that_cannot_grow_is_told_of_and_removed(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, before[1]))  # as a full disk does
    try:
        kind, text = state_of(look(settings(tmp_path)), WRITING)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert kind == "fail"
    assert "File too large" in text
    assert [*tmp_path.iterdir()] == []


def test_a_slow_disk_is_told_of() -> None:
    assert of_latency(Path("/d"), [0.001, 0.002, 9]).state == "ok"
    assert of_latency(Path("/d"), [0.3, 0.4, 0.001]).state == "warn"


def test_room_that_is_too_small_for_all_that_is_kept_or_for_one_checkpoint_is_told_of(
    tmp_path: Path,
) -> None:
    def told(keep: int, tasks: int) -> tuple[str, str]:
        chosen = settings(
            tmp_path,
            checkpoints={"keep": keep},
            boundaries={"max_tasks": tasks},
            holdout={"source": "off"},
        )
        return state_of(look(chosen), SPACE)

    assert told(3, 100)[0] == "ok"
    assert told(10**12, 100)[0] == "warn"
    kind, text = told(3, 10**15)
    assert kind == "fail"
    assert "make room, or lower checkpoints.keep" in text


def test_what_is_there_already_is_not_needed_again(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    assert full_size(chosen) == (4 * 6 + 6) + 100 * (6 * 3 + 3)
    path = checkpointed(chosen)
    assert used_bytes(tmp_path) == sum(file.stat().st_size for file in path.iterdir())


def test_without_a_model_the_room_is_shown_and_not_judged(tmp_path: Path) -> None:
    chosen = settings(tmp_path, model={"input_shape": ()})
    kind, text = state_of(look(chosen), SPACE)
    assert kind == "ok"
    assert "without a model" in text


def test_few_files_are_told_of_and_a_file_system_without_a_limit_is_not() -> None:
    assert of_inodes(10**6, FEW_INODES - 1).state == "warn"
    assert of_inodes(10**6, FEW_INODES).state == "ok"
    assert of_inodes(0, 0).state == "ok"


MOUNTS = """\
21 1 8:1 / / rw,relatime - ext4 /dev/root rw
30 21 0:40 / /mnt/my\\040share rw - nfs4 server:/ rw
31 30 0:41 / /mnt/my\\040share/local rw - xfs /dev/b rw
32 21 0:42 / /scratch rw - tmpfs tmpfs rw
33 21 0:43 / /mnt/données\\040é\\134x rw - nfs server:/d rw
"""


def test_the_file_system_is_that_of_the_nearest_mount() -> None:
    assert kind_of(Path("/mnt/my share/model"), MOUNTS) == "nfs4"
    assert kind_of(Path("/mnt/my share/local/model"), MOUNTS) == "xfs"
    assert kind_of(Path("/scratch"), MOUNTS) == "tmpfs"
    assert kind_of(Path("/scratches"), MOUNTS) == "ext4"
    assert kind_of(Path("/mnt/données é\\x/model"), MOUNTS) == "nfs"


@pytest.mark.skipif(sys.platform != "linux", reason="mounts are told of in another way")
def test_the_file_systems_of_this_machine_are_found(tmp_path: Path) -> None:
    assert kind_of(Path("/proc/self"), Path("/proc/self/mountinfo").read_text()) == "proc"
    assert named(look(settings(tmp_path)))["disk: file system"].seen not in ("", "unknown")


def test_a_network_is_no_place_for_an_embedded_log_and_memory_none_for_a_model() -> None:
    assert of_log(Path("log"), "nfs4").state == "fail"
    assert of_log(Path("log"), "ext4").state == "ok"
    assert of_kind("nfs4").state == "ok"
    assert of_kind("tmpfs").state == "warn"


def test_an_embedded_log_is_looked_at_where_it_lies_and_not_where_the_model_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "share").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "share" / "log.sqlite")
    (tmp_path / "mountinfo").write_text(
        "21 1 8:1 / / rw,relatime - ext4 /dev/root rw\n"
        f"30 21 0:40 / {tmp_path}/share rw - nfs4 server:/ rw\n"
    )
    monkeypatch.setattr("services.doctor.disk.MOUNTS", tmp_path / "mountinfo")

    def kinds(directory: str, broker: str) -> dict[str, str]:
        chosen = settings(tmp_path / directory, stream={"broker": broker})
        about = ("disk: file system", "disk: embedded log")
        found = named(look(chosen))
        return {name: found[name].state for name in about if name in found}

    well, ill = {"disk: embedded log": "ok"}, {"disk: embedded log": "fail"}
    directory = {"disk: file system": "ok"}
    assert kinds("model", f"embedded:{tmp_path}/share/new/log.sqlite") == directory | ill
    assert kinds("share/model", f"embedded:{tmp_path}/log.sqlite") == directory | well
    assert kinds("mountinfo", f"embedded:{tmp_path}/share/log.sqlite") == ill
    assert kinds("share/model", "kafka://127.0.0.1:1") == directory
    (tmp_path / "share" / "log.sqlite").touch()
    assert kinds("model", f"embedded:{tmp_path}/link") == directory | ill
