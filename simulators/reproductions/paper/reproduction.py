"""The reproduction of a benchmark of the paper: its runs, and what is made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulators.reproductions.jobs import Stop, Tell
from simulators.reproductions.paper.arm import Arm
from simulators.reproductions.paper.catalogue import BENCHMARKS, JOINT, Benchmark, BenchmarkName
from simulators.reproductions.paper.importance import IMPORTANCE, IMPORTANCE_TITLE
from simulators.reproductions.paper.record import PaperRecord
from simulators.reproductions.paper.settings import decided_by, defaults
from simulators.reproductions.paper.summary import average, best, summarised
from simulators.reproductions.paper.table import table
from simulators.reproductions.paper.trial import begin_arm, run_arm
from simulators.reproductions.records import Records
from simulators.reproductions.reproduction import OVERVIEW, Beginning, Files, Reproduction


@dataclass(frozen=True)
class PaperBenchmark(Reproduction[PaperRecord]):
    """``arms`` are those to be run; the summary is made of all that have records."""

    name: BenchmarkName
    arms: tuple[Arm, ...]

    kind = PaperRecord
    goes_on = True

    @property
    def benchmark(self) -> Benchmark:
        return BENCHMARKS[self.name]

    @property
    def scenarios(self) -> Sequence[str]:
        return [arm.name(self.benchmark) for arm in self.arms]

    def shown(self, recorded: Sequence[str]) -> Sequence[str]:
        """The authors' methods first, the strongest arm of each before the others."""
        order = list(self.benchmark.methods)
        arms = {name: arm for name in recorded if (arm := Arm.named(name, self.benchmark))}

        def place(name: str) -> tuple[Any, ...]:
            arm = arms[name]
            known = order.index(arm.method) if arm.method in order else len(order)
            strength = -(arm.strength or 0.0)
            varied = arm.variation is not None
            return varied, known, arm.method, arm.validation, strength, -arm.epochs, name

        return sorted(arms, key=place)

    def is_usual(self, scenario: str) -> bool:
        return True

    def seeds(self, scenario: str) -> int:
        return self.benchmark.seeds

    def seconds(self, scenario: str) -> float:
        arm, benchmark = self._arm(scenario), self.benchmark
        share = _length(benchmark, arm.tasks) / _length(benchmark, benchmark.tasks)
        return benchmark.seconds_per_epoch * arm.epochs * share

    def settings(self, scenario: str, seed: int) -> dict[str, Any]:
        return decided_by(self.benchmark, self._arm(scenario), seed)

    def defaults(self) -> dict[str, Any]:
        return defaults()

    def run(
        self,
        scenario: str,
        seed: int,
        device: str,
        files: Files,
        progress: Tell,
        stop: Stop,
    ) -> PaperRecord:
        return run_arm(
            self.benchmark,
            self._arm(scenario),
            seed,
            device=device,
            progress=progress,
            stop=stop,
            unfinished=files.unfinished,
            beginning=files.beginning,
        )

    def beginning(self, scenario: str) -> Beginning | None:
        """Its first task up to the last batch: until there is a boundary nothing pulls, so all
        strengths of a method, and most variations, learn that alike."""
        arm = self._arm(scenario)
        common = arm.until_its_first_boundary()
        if common is None:
            return None
        share = self.benchmark.first_task / _length(self.benchmark, arm.tasks)
        return Beginning(common._replace(strength=None).name(self.benchmark), share)

    def begin(
        self, name: str, seed: int, device: str, file: Path, progress: Tell, stop: Stop
    ) -> None:
        arm = self._arm(name)._replace(strength=0.0)
        begin_arm(self.benchmark, arm, seed, file, device=device, progress=progress, stop=stop)

    def command(self, scenario: str, seeds: int) -> str:
        return f"si-stream reproduce {self.name} {self._arm(scenario).options()} --seeds {seeds}"

    def line(self, record: PaperRecord) -> str:
        forgotten = record.matrix.mean_forgetting() if record.is_sequence else None
        return (
            f"{record.scenario}, seed {record.seed}: {average(record):.2%} on average"
            + (f", {100 * forgotten:.2f} points forgotten" if forgotten is not None else "")
            + (", all tasks at once" if record.method == JOINT else "")
            + f"; {record.seconds:.0f} s"
        )

    def summarise(self, scenario: str, records: Sequence[PaperRecord]) -> dict[str, Any]:
        return summarised(self.benchmark, self._arm(scenario), records)

    def draw(
        self, records: dict[str, list[PaperRecord]], summary: dict[str, Any], directory: Path
    ) -> None:
        from simulators.reproductions.paper.figures import draw

        draw(self.benchmark, records, directory)

    def titles(self, summary: dict[str, Any]) -> list[tuple[str, str]]:
        return [(OVERVIEW, self.benchmark.title), (IMPORTANCE, IMPORTANCE_TITLE)]

    def table(self, summary: dict[str, Any]) -> str:
        return table(self.benchmark, summary)

    def _arm(self, scenario: str) -> Arm:
        arm = Arm.named(scenario, self.benchmark)
        assert arm is not None
        return arm


def _length(benchmark: Benchmark, tasks: int) -> float:
    """Of the first so many tasks, the last one's being 1."""
    return benchmark.first_task + tasks - 1


def chosen_arm(arms: Sequence[Arm], benchmark: Benchmark, runs: Path, seeds: int) -> Arm:
    """The one that came out best over these seeds, to be tested on the test set.

    Args:
        arms: with the records of each in the directory ``runs``.
    """
    records = Records(runs, PaperRecord)
    found = {
        arm: [
            one
            for seed in range(seeds)
            if (one := records.read(records.path(arm.name(benchmark), seed))) is not None
        ]
        for arm in arms
    }
    return best(arms, found)._replace(validation=False)
