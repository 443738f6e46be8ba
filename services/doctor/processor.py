"""The CPU: cores for the threads that are asked for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from services.doctor.finding import Finding, ok, warn
from si_stream.settings import Settings

GROUPS = Path("/sys/fs/cgroup")
OWN_GROUP = Path("/proc/self/cgroup")


def look(settings: Settings) -> Iterator[Finding]:
    cores, limit = cores_to_run_on(), granted_cores(GROUPS, OWN_GROUP)
    usable = cores if limit is None else min(cores, limit)
    seen = f"{cores} cores" + ("" if limit is None else f", of which {limit:g} are granted")
    for name, threads in (
        ("compute.threads", settings.compute.threads),
        ("predictor.threads", settings.predictor.threads),
    ):
        about = f"cpu: {name}"
        if threads > max(usable, 1):
            yield warn(
                about,
                f"{threads} threads on {seen}: they take turns, which costs more than it brings",
                f"set {name} to {max(1, int(usable))} (in a model's life the threads decide about "
                "its bits)"
                if name == "compute.threads"
                else f"set {name} to {max(1, int(usable))}",
            )
        else:
            yield ok(about, f"{threads} on {seen}")


def cores_to_run_on() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def granted_cores(groups: Path, own: Path) -> float | None:
    """How many cores' time the control groups above this process grant; None without a limit.

    Args:
        groups: where they are mounted, version 2 or 1.
        own: the file that names those of this process.
    """
    try:
        lines = own.read_text("utf-8").splitlines()
    except OSError:  # another system than Linux
        return None
    limits = []
    for line in lines:
        number, controllers, path = line.split(":", 2)
        if number == "0":
            limits += [_version_2(group) for group in _upwards(groups, path)]
        elif "cpu" in controllers.split(","):
            limits += [_version_1(group) for group in _upwards(groups / "cpu", path)]
    return min((limit for limit in limits if limit is not None), default=None)


def _upwards(root: Path, path: str) -> Iterator[Path]:
    group = root / path.strip("/")
    yield group
    while group != root:
        group = group.parent
        yield group


def _version_2(group: Path) -> float | None:
    quota, _, period = _text(group / "cpu.max").partition(" ")
    return int(quota) / int(period) if quota.isdigit() else None


def _version_1(group: Path) -> float | None:
    quota, period = (_text(group / f"cpu.cfs_{part}_us") for part in ("quota", "period"))
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() else None


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8").strip()
    except OSError:
        return ""
