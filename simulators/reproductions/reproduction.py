"""A reproduction: which runs it has, what a run leaves, and what is made of all records.

Invariant: it says how; nothing is run and nothing written here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Generic, NamedTuple

from simulators.reproductions.jobs import Stop, Tell
from simulators.reproductions.records import R

OVERVIEW = "summary"


class Place(NamedTuple):
    """Where results lie: ``NAME.json``, and in ``NAME/`` pictures, the records of ``runs/`` and
    what there is of runs that have no record yet, ``unfinished/``."""

    directory: Path
    name: str

    @property
    def summary(self) -> Path:
        return self.directory / f"{self.name}.json"

    @property
    def pictures(self) -> Path:
        return self.directory / self.name

    @property
    def runs(self) -> Path:
        return self.pictures / "runs"

    def unfinished(self, scenario: str, seed: int) -> Path:
        return self.pictures / "unfinished" / f"{scenario}-seed-{seed}.safetensors"

    def beginning(self, name: str, seed: int) -> Path:
        return self.pictures / "unfinished" / f"{name}-seed-{seed}-beginning.safetensors"


class Beginning(NamedTuple):
    """What runs of a seed have in common, and which share of each that is, roughly."""

    name: str
    share: float


class Files(NamedTuple):
    """Of a run without a record.

    Attributes:
        unfinished: that a long run may keep itself in, to go on from if it is stopped.
        beginning: of what it has in common with others; None where nothing is.
    """

    unfinished: Path
    beginning: Path | None


class Reproduction(ABC, Generic[R]):
    """It goes to other processes, so it holds plain values at most."""

    name: str
    kind: type[R]
    goes_on = False
    """Whether a run that was stopped goes on where it was."""

    @property
    @abstractmethod
    def scenarios(self) -> Sequence[str]:
        """All of them, in the order in which they are told of."""

    def shown(self, recorded: Sequence[str]) -> Sequence[str]:
        """The scenarios that summary and pictures are made of, given all that have records."""
        return self.scenarios

    @abstractmethod
    def is_usual(self, scenario: str) -> bool:
        """Whether it is run where none is named."""

    @abstractmethod
    def seeds(self, scenario: str) -> int:
        """How many are run, if nobody says otherwise."""

    @abstractmethod
    def seconds(self, scenario: str) -> float:
        """That a run takes, roughly."""

    @abstractmethod
    def settings(self, scenario: str, seed: int) -> dict[str, Any]:
        """All that decides a run.

        Raises:
            SettingsError: this version lacks one.
        """

    @abstractmethod
    def defaults(self) -> dict[str, Any]:
        """Of the settings, for records of before there was one."""

    @abstractmethod
    def run(
        self,
        scenario: str,
        seed: int,
        device: str,
        files: Files,
        progress: Tell,
        stop: Stop,
    ) -> R:
        """Raises:
        Stopped: as it was asked for.
        """

    def beginning(self, scenario: str) -> Beginning | None:
        """That it may have in common with other scenarios."""
        return None

    def begin(
        self, name: str, seed: int, device: str, file: Path, progress: Tell, stop: Stop
    ) -> None:
        """Leave a beginning in its file.

        Raises:
            Stopped: as it was asked for.
        """
        raise NotImplementedError

    @abstractmethod
    def command(self, scenario: str, seeds: int) -> str:
        """That does so many of its runs, from seed 0 on."""

    @abstractmethod
    def line(self, record: R) -> str:
        """What came out, for people."""

    @abstractmethod
    def summarise(self, scenario: str, records: Sequence[R]) -> dict[str, Any]:
        """With a ``title``."""

    @abstractmethod
    def draw(self, records: dict[str, list[R]], summary: dict[str, Any], directory: Path) -> None:
        """The pictures: `OVERVIEW`, and of scenarios by their names."""

    def titles(self, summary: dict[str, Any]) -> list[tuple[str, str]]:
        """Names of the pictures that there may be, and what they show."""
        named = [(name, figures["title"]) for name, figures in summary.items()]
        return [(OVERVIEW, "all scenarios"), *named]

    @abstractmethod
    def table(self, summary: dict[str, Any]) -> str:
        """In Markdown."""
