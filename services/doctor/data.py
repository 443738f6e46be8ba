"""The data sets: which of them are here. None is needed to learn from a stream."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from services.doctor.finding import Finding, ok
from si_stream.settings import Settings

FOLDERS = {
    "MNIST": ("MNIST/raw",),
    "CIFAR-10": ("cifar-10-batches-py",),
    "CIFAR-100": ("cifar-100", "cifar-100-python"),
}


def look(settings: Settings) -> Iterator[Finding]:
    from simulators.datasets import data_directory

    directory = settings.data or data_directory()
    here = present(directory)
    found = ", ".join(here) if here else "none"
    missing = [name for name in FOLDERS if name not in here]
    rest = f"; {', '.join(missing)} would be downloaded" if missing else ""
    yield ok("data", f"{found} in {directory}{rest}; only `simulate`, `demo`, `reproduce` need any")


def present(directory: Path) -> list[str]:
    return [
        name
        for name, folders in FOLDERS.items()
        if any((directory / folder).is_dir() for folder in folders)
    ]
