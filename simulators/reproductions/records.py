"""Records of runs: one JSON file each, from which every figure and number is made.

Invariant: a record is wholly there or not at all, and is taken for that of a run only while the
run's settings are those that it was made under.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from si_stream.errors import DataError
from si_stream.settings.layers import flattened

# Not among the settings that decide a run's meaning, but where it was done.
NOT_COMPARED = {"learner.compute.device"}


class Part(BaseModel):
    """Values of a record: nothing else is in it, and nothing changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Record(Part):
    """What every run leaves.

    ``settings`` are all that decide it, ``seconds`` the time that it took.
    """

    scenario: str
    seed: int
    settings: dict[str, Any]
    versions: dict[str, str]
    commit: str
    device: str
    threads: int
    kernel: str = ""  # empty in records of before these two were told
    cpu: str = ""
    seconds: float


R = TypeVar("R", bound=Record)


class Records(Generic[R]):
    """Args:
    directory: of the files, made when the first is written.
    kind: of the records.
    """

    def __init__(self, directory: Path, kind: type[R]) -> None:
        self.directory = directory
        self._kind = kind

    def path(self, scenario: str, seed: int) -> Path:
        return self.directory / f"{scenario}-seed-{seed}.json"

    def find(
        self, scenario: str, seed: int, settings: Mapping[str, Any], defaults: Mapping[str, Any]
    ) -> R | None:
        """The record of a run under these settings, if there is one.

        Args:
            defaults: of the settings. One that a record lacks has come since, and its default
                keeps what was before.
        """
        record = self.read(self.path(scenario, seed))
        if record is None or not same_settings(record.settings, settings, defaults):
            return None
        return record

    def read(self, path: Path) -> R | None:
        """None where there is no file, or one of an older form.

        Raises:
            DataError: it cannot be read at all.
        """
        try:
            return self._kind.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError as error:
            if any(problem["type"] == "json_invalid" for problem in error.errors()):
                raise DataError(f"{path} is no JSON: delete it, and it is run again") from error
            return None

    def write(self, record: R) -> Path:
        """A line for each field, so that a difference can be read."""
        path = self.path(record.scenario, record.seed)
        write_json(path, record.model_dump(mode="json"), compact=True)
        return path

    def scenarios(self) -> list[str]:
        """Of which there are files, in alphabetical order."""
        parts = (path.stem.rpartition("-seed-") for path in self.directory.glob("*-seed-*.json"))
        return sorted({name for name, _, seed in parts if seed.isdecimal()})

    def seeds(self, scenario: str) -> list[int]:
        """Of which there are files."""
        prefix = f"{scenario}-seed-"
        numbers = (
            path.stem.removeprefix(prefix)
            for path in self.directory.glob(f"{prefix}*.json")  # none where there is no directory
        )
        return sorted(int(number) for number in numbers if number.isdecimal())


def same_settings(
    recorded: Mapping[str, Any], wanted: Mapping[str, Any], defaults: Mapping[str, Any]
) -> bool:
    """Whether a run under the wanted ones would be the recorded one."""
    there, here, usual = (dict(flattened(tree)) for tree in (recorded, wanted, defaults))
    return all(
        there.get(key, usual.get(key)) == here.get(key, usual.get(key))
        for key in (there.keys() | here.keys()) - NOT_COMPARED
    )


def write_json(path: Path, value: Mapping[str, Any], *, compact: bool = False) -> None:
    """Put the file in its place in one go.

    Args:
        compact: a line for each key; else every value has its own.
    """
    if compact:
        lines = (f"  {json.dumps(key)}: {json.dumps(part)}" for key, part in value.items())
        text = "{\n" + ",\n".join(lines) + "\n}\n"
    else:
        text = json.dumps(value, indent=2) + "\n"
    write_text(path, text)


def write_text(path: Path, text: str) -> None:
    """Put the file in its place in one go."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
