"""The machine and the code that a run was made with, for its record.

Invariant: the code is that which the process loaded, whatever is committed while it runs.
"""

from __future__ import annotations

import hashlib
import platform
import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from si_stream.checkpoints.copies import arithmetic
from si_stream.state import State

ROOT = Path(__file__).parents[2]
PACKAGES = ("torch", "river", "numpy", "numba", "scikit-learn")


def versions() -> dict[str, str]:
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


def made_on(state: State) -> dict[str, Any]:
    """What the bits of a learner's weights depend on beside settings and versions."""
    told = arithmetic(state)
    return {name: told[name] for name in ("device", "threads", "kernel", "cpu")}


@cache
def commit() -> str:
    """Of the tree that this code lies in, with ``-dirty`` where it is not as committed; empty where
    it lies in none. As it was when this was asked first, which is before a run."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        told = subprocess.run(
            command,
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return ""
    return told.stdout.strip() if told.returncode == 0 else ""


@cache
def code() -> str:
    """The SHA-256 of all that a run is made by, whether it is committed or not. As it was when this
    was asked first, which is before a run."""
    digest = hashlib.sha256()
    for package in ("si_stream", "simulators"):
        for path in sorted((ROOT / package).rglob("*.py")):
            digest.update(f"{path.relative_to(ROOT)}\n".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()
