"""A reproduction: which runs it has, what a run leaves, and what is made of all records.

Invariant: a run that has a record is not done again, and a beginning that runs have in common is
done once; the summary and the pictures are made from the records in the directory alone, those of
the settings that the runs have now.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, NamedTuple

from simulators.reproductions.jobs import Job, Stop, Tell, run_jobs
from simulators.reproductions.page import renew, shown
from simulators.reproductions.records import R, Records, write_json
from simulators.reproductions.screen import Screen

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


@dataclass(frozen=True)
class RecordedRun(Generic[R]):
    """The work of a job."""

    reproduction: Reproduction[R]
    place: Place
    scenario: str
    seed: int
    device: str

    def __call__(self, progress: Tell, stop: Stop) -> str:
        beginning = self.reproduction.beginning(self.scenario)
        files = Files(
            self.place.unfinished(self.scenario, self.seed),
            self.place.beginning(beginning.name, self.seed) if beginning else None,
        )
        record = self.reproduction.run(self.scenario, self.seed, self.device, files, progress, stop)
        Records(self.place.runs, self.reproduction.kind).write(record)
        files.unfinished.unlink(missing_ok=True)
        return self.reproduction.line(record)


@dataclass(frozen=True)
class CommonBeginning(Generic[R]):
    """The work of a job that others wait for."""

    reproduction: Reproduction[R]
    place: Place
    name: str
    seed: int
    device: str

    def __call__(self, progress: Tell, stop: Stop) -> str:
        file = self.place.beginning(self.name, self.seed)
        self.reproduction.begin(self.name, self.seed, self.device, file, progress, stop)
        return f"beginning of {self.name}, seed {self.seed}, which other runs have in common"


def reproduce(
    reproduction: Reproduction[R],
    place: Place,
    screen: Screen,
    *,
    chosen: Sequence[str] = (),
    seeds: int | None = None,
    processes: int = 1,
    device: str = "auto",
    page: Path | None = None,
    stop: Stop = lambda: False,
) -> bool:
    """Do the runs that have no record, then make summary and pictures of all that there are.

    Args:
        chosen: scenarios; the usual ones where none is named.
        seeds: of each scenario, from 0 on; each one's own number by default.
        page: a document that has the table between two marks.

    Returns:
        False where it was stopped before all runs were done; nothing is made of them then.

    Raises:
        SIStreamError: settings, data or the machine do not allow it; what is done is recorded.
    """
    names = list(chosen) or [name for name in reproduction.scenarios if reproduction.is_usual(name)]
    records = Records(place.runs, reproduction.kind)
    defaults = reproduction.defaults()
    asked = [(name, seed) for name in names for seed in range(seeds or reproduction.seeds(name))]
    runs = [
        (name, seed)
        for name, seed in asked
        if not records.find(name, seed, reproduction.settings(name, seed), defaults)
    ]
    if there := len(asked) - len(runs):
        screen.say(f"{there} of {len(asked)} runs are recorded in {place.runs} already")
    if runs:
        jobs = _jobs(reproduction, place, runs, device)
        with screen.watching(jobs) as watcher:
            if not run_jobs(jobs, processes, watcher, stop):
                return False
    for name, seed in runs:
        if beginning := reproduction.beginning(name):
            place.beginning(beginning.name, seed).unlink(missing_ok=True)
    summarise(reproduction, place, page)
    return True


def _jobs(
    reproduction: Reproduction[R], place: Place, runs: Sequence[tuple[str, int]], device: str
) -> list[Job]:
    """First the beginnings that several of the runs have in common."""
    beginnings = {name: reproduction.beginning(name) for name, _ in runs}
    counts = Counter((beginnings[name], seed) for name, seed in runs)
    first, then = {}, []
    for name, seed in runs:
        seconds, beginning = reproduction.seconds(name), beginnings[name]
        job = Job(
            f"{name}, seed {seed}", seconds, RecordedRun(reproduction, place, name, seed, device)
        )
        if beginning and counts[beginning, seed] > 1:
            work = CommonBeginning(reproduction, place, beginning.name, seed, device)
            common = f"beginning of {beginning.name}, seed {seed}"
            first[common] = Job(common, seconds * beginning.share, work)
            job = replace(job, after=common, done=beginning.share)
        then.append(job)
    return [*first.values(), *then]


def summarise(reproduction: Reproduction[R], place: Place, page: Path | None = None) -> None:
    """Summary and pictures of the records that there are."""
    found = recorded(reproduction, place)
    summary = summary_of(reproduction, found)
    write_json(place.summary, summary)
    reproduction.draw(found, summary, place.pictures)
    if page is not None:
        renew(page, reproduction.name, block(reproduction, summary, place, page))


def recorded(reproduction: Reproduction[R], place: Place) -> dict[str, list[R]]:
    """The records of each scenario that has some."""
    records = Records(place.runs, reproduction.kind)
    defaults = reproduction.defaults()
    found: dict[str, list[R]] = {}
    for name in reproduction.shown(records.scenarios()):
        for seed in records.seeds(name):
            settings = reproduction.settings(name, seed)
            if record := records.find(name, seed, settings, defaults):
                found.setdefault(name, []).append(record)
    return found


def summary_of(reproduction: Reproduction[R], found: Mapping[str, Sequence[R]]) -> dict[str, Any]:
    """What ``NAME.json`` says of the records."""
    return {
        name: {
            **reproduction.summarise(name, runs),
            **origin(runs),
            "command": reproduction.command(name, len(runs)),
        }
        for name, runs in found.items()
    }


def block(reproduction: Reproduction[R], summary: dict[str, Any], place: Place, page: Path) -> str:
    """What a page shows of a summary."""
    titles = reproduction.titles(summary)
    return shown(reproduction.table(summary), titles, place.pictures, page)


def origin(runs: Sequence[R]) -> dict[str, Any]:
    """How the runs of a scenario were made."""
    return {
        "run_seconds": round(sum(run.seconds for run in runs)),
        "device": _joined(run.device for run in runs),
        "threads": _joined(str(run.threads) for run in runs),
        "kernel": _joined(run.kernel for run in runs),
        "cpu": _joined(run.cpu for run in runs),
        "versions": {
            name: _joined(run.versions.get(name, "") for run in runs) for name in runs[0].versions
        },
        "commit": _joined(run.commit for run in runs),
    }


def _joined(values: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(filter(None, values)))
