"""Threads against the cores that there are, and that are granted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from services.doctor.processor import cores_to_run_on, granted_cores, look
from si_stream.settings import Settings
from tests.services.doctor.models import state_of
from tests.streams import settings


def with_threads(who: str, count: int) -> Settings:
    groups: dict[str, Any] = {who: {"threads": count}}
    return settings(**groups)


@pytest.mark.parametrize("who", ["compute", "predictor"])
def test_more_threads_than_cores_are_told_of(who: str) -> None:
    cores = cores_to_run_on()
    about = f"cpu: {who}.threads"
    kind, text = state_of(look(with_threads(who, cores + 1)), about)
    assert kind == "warn"
    assert f"{cores + 1} threads on {cores} cores" in text
    assert f"set {who}.threads to " in text
    assert state_of(look(settings()), about)[0] == "ok"


def group(root: Path, path: str, **files: str) -> None:
    directory = root / path
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (directory / name.replace("__", ".")).write_text(text)


def test_the_narrowest_of_the_groups_above_counts(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("0::/pod/container\n")
    assert granted_cores(tmp_path / "groups", own) is None
    group(tmp_path / "groups", "pod", cpu__max="150000 100000\n")
    group(tmp_path / "groups", "pod/container", cpu__max="max 100000\n")
    assert granted_cores(tmp_path / "groups", own) == 1.5
    group(tmp_path / "groups", "pod/container", cpu__max="50000 100000\n")
    assert granted_cores(tmp_path / "groups", own) == 0.5


def test_the_older_groups_are_read_too(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("4:memory:/docker/1\n3:cpu,cpuacct:/docker/1\n")
    group(tmp_path, "cpu", cpu__cfs_quota_us="-1\n", cpu__cfs_period_us="100000\n")
    assert granted_cores(tmp_path, own) is None
    group(tmp_path, "cpu/docker/1", cpu__cfs_quota_us="200000\n", cpu__cfs_period_us="100000\n")
    assert granted_cores(tmp_path, own) == 2.0


def test_another_system_grants_all(tmp_path: Path) -> None:
    assert granted_cores(tmp_path, tmp_path / "none") is None
