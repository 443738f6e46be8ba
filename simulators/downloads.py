"""Fetches a data set through torchvision, within a time limit.

Files are fetched into a directory of their own and moved when all have come, so that a
download cut short leaves no half a data set where a loader would look.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Literal

from si_stream.errors import DataError

LIMIT_SECONDS = 10.0

# A process of its own: name resolution and a stalled connection cannot be interrupted from
# within. It says when its imports, some seconds, are done: they are not on the clock.
_FETCH = """
import sys
from torchvision import datasets
print("ready", flush=True)
getattr(datasets, sys.argv[1])(sys.argv[2], download=True)
"""


def fetch(
    loader: Literal["MNIST", "CIFAR10", "CIFAR100"],
    folder: str,
    directory: Path,
    limit_seconds: float = LIMIT_SECONDS,
) -> None:
    """Put ``folder`` of ``torchvision.datasets.<loader>`` into ``directory``.

    Raises:
        DataError: torchvision is not installed, or the data set did not come in time.
    """
    if importlib.util.find_spec("torchvision") is None:
        raise _unavailable(loader, folder, directory, "torchvision is not installed")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".download-", dir=directory) as scratch:
            reason = _fetch_within(loader, scratch, limit_seconds)
            if reason is not None:
                raise _unavailable(loader, folder, directory, reason)
            _move(Path(scratch) / folder, directory / folder)
    except OSError as error:
        raise _unavailable(loader, folder, directory, str(error)) from error


def _fetch_within(loader: str, scratch: str, limit_seconds: float) -> str | None:
    """None, or why the data set did not come."""
    with subprocess.Popen(
        [sys.executable, "-c", _FETCH, loader, scratch],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            _, complaint = process.communicate(timeout=limit_seconds)
        except subprocess.TimeoutExpired:
            return f"it did not come within {limit_seconds:g} s"
        finally:
            process.kill()
    if process.returncode == 0:
        return None
    lines = complaint.strip().splitlines()
    return lines[-1] if lines else f"the download ended with code {process.returncode}"


def _move(source: Path, target: Path) -> None:
    for file in sorted(path for path in source.rglob("*") if path.is_file()):
        place = target / file.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        file.replace(place)


def _unavailable(loader: str, folder: str, directory: Path, reason: str) -> DataError:
    command = f"from torchvision.datasets import {loader}; {loader}('DIR', download=True)"
    return DataError(
        f"{loader} is not in {directory} and cannot be downloaded ({reason}): set SI_STREAM_DATA "
        f"to a directory that holds {folder} as torchvision lays it out, or, with a connection and "
        f'without a time limit, run: python -c "{command}" and set SI_STREAM_DATA to that DIR'
    )
