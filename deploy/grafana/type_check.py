"""The dashboard's JSON against the types of its Grafana, by TypeScript.

Invariant: what is installed for it is what `typecheck/package-lock.json` names, once for all
checkouts.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from deploy.local_process import NotAvailable

HERE = Path(__file__).parent / "typecheck"
NPM_SECONDS = 120


def fetch_types() -> Path:
    """The directory of TypeScript and of Grafana's types, which npm fetches once.

    Raises:
        NotAvailable: npm is missing or cannot fetch them.
    """
    lock = (HERE / "package-lock.json").read_bytes()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    place = cache / "si-stream" / f"dashboard-types-{hashlib.sha256(lock).hexdigest()[:12]}"
    if place.is_dir():
        return place
    npm = shutil.which("npm")
    if npm is None:
        raise NotAvailable("npm is not here: install it (Debian, Ubuntu: apt install nodejs npm)")
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{place.name}-", dir=place.parent) as partial:
        whole = Path(partial, "whole")
        shutil.copytree(HERE, whole, ignore=shutil.ignore_patterns("node_modules"))
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        done = subprocess.run(
            command, cwd=whole, capture_output=True, text=True, timeout=NPM_SECONDS, check=False
        )
        if done.returncode:
            raise NotAvailable(f"npm ci failed in {HERE}: {done.stderr.strip()[-500:]}")
        try:
            whole.rename(place)  # whole or not at all
        except OSError:
            if not place.is_dir():  # another process was faster
                raise
    return place


def errors_of(dashboards: Mapping[str, str], types: Path, directory: Path) -> dict[str, list[str]]:
    """What TypeScript refuses of each dashboard, in one run.

    Args:
        dashboards: JSON by name, which may hold letters, digits and lines.
        types: as `fetch_types` gives it.
        directory: an empty one, for the files.
    """
    for name in ("shape.ts", "tsconfig.json"):
        shutil.copy(HERE / name, directory)
    (directory / "node_modules").symlink_to(types / "node_modules")
    for name, text in dashboards.items():
        literal = (
            f'import type {{ Dashboard }} from "./shape";\nexport const it: Dashboard = {text}'
        )
        (directory / f"{name}.dashboard.ts").write_text(literal, encoding="utf-8")
    compiler = types / "node_modules" / ".bin" / "tsc"
    done = subprocess.run(
        [compiler, "--project", "."], cwd=directory, capture_output=True, text=True, check=False
    )
    found: dict[str, list[str]] = {name: [] for name in dashboards}
    for line in done.stdout.splitlines():
        if place := re.match(r"([\w-]+)\.dashboard\.ts\(\d+,\d+\): error (.*)", line):
            found[place[1]].append(place[2])
        elif not line.startswith(" "):
            raise AssertionError(f"TypeScript stumbled elsewhere: {done.stdout}{done.stderr}")
    return found
