"""`python -m tests.fuzz`: a hundred thousand hostile messages, once for real; see `make fuzz`."""

from __future__ import annotations

import json
import platform
import shlex
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import pyarrow as pa  # type: ignore[import-untyped]
import torch
import typer

from tests.fuzz.learning import attack

ROOT = Path(__file__).parents[2]
GROWTH_LIMIT_BYTES = 24 * 1024 * 1024  # of which glibc's and Arrow's allocators take what they like


def commit() -> str:
    """Of this checkout, with a word where it has been changed since."""
    told = subprocess.run(
        ["git", "describe", "--always", "--abbrev=12", "--dirty", "--exclude=*"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return told.stdout.strip() or "unknown"


def main(
    messages: Annotated[int, typer.Option(min=100, help="Hostile ones.")] = 100_000,
    seed: Annotated[int, typer.Option(help="Of what is sent.")] = 0,
    output: Annotated[Path, typer.Option(metavar="FILE", help="Where the figures go.")] = (
        ROOT / "docs/results/fuzz.json"
    ),
) -> None:
    """Send hostile messages through the embedded log into the learner's loop; see what came."""
    torch.set_num_threads(1)
    at = commit()
    with TemporaryDirectory() as directory:
        result = attack(Path(directory), messages, seed)
    growth_bytes = result.rss_end_bytes - result.rss_warm_bytes
    figures = {
        "command": shlex.join(["python", "-m", "tests.fuzz", *sys.argv[1:]]),
        "commit": at,
        "python": platform.python_version(),
        "pyarrow": pa.__version__,
        "seed": seed,
        **result._asdict(),
        "rss_growth_bytes": growth_bytes,
        "rss_growth_limit_bytes": GROWTH_LIMIT_BYTES,
        "flat": growth_bytes <= GROWTH_LIMIT_BYTES,
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(figures, indent=2))
    if not figures["flat"]:
        raise SystemExit(f"memory grew by {growth_bytes} bytes, the limit is {GROWTH_LIMIT_BYTES}")


if __name__ == "__main__":
    typer.run(main)
