"""The reproduction of silent boundaries: its runs, what they leave, and what is made of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from simulators.reproductions.jobs import Stop, Tell
from simulators.reproductions.reproduction import Files, Reproduction
from simulators.reproductions.silent.catalogue import TRIALS
from simulators.reproductions.silent.summary import average, matched, summarised
from simulators.reproductions.silent.table import table
from simulators.reproductions.silent.trial import TrialRecord, decided_by, defaults, run_trial

PICTURED_SEED = 0  # without the rewind it would be the picture of the same learner with it


class SilentBoundaries(Reproduction[TrialRecord]):
    name = "silent-boundaries"
    kind = TrialRecord

    @property
    def scenarios(self) -> Sequence[str]:
        return list(TRIALS)

    def is_usual(self, scenario: str) -> bool:
        return not TRIALS[scenario].on_request

    def seeds(self, scenario: str) -> int:
        return TRIALS[scenario].seeds

    def seconds(self, scenario: str) -> float:
        return TRIALS[scenario].seconds

    def settings(self, scenario: str, seed: int) -> dict[str, Any]:
        return decided_by(TRIALS[scenario], seed)

    def defaults(self) -> dict[str, Any]:
        return defaults()

    def run(
        self,
        scenario: str,
        seed: int,
        device: str,
        files: Files,  # its runs take minutes
        progress: Tell,
        stop: Stop,
    ) -> TrialRecord:
        return run_trial(
            TRIALS[scenario],
            seed,
            device=device,
            keep_errors=seed == PICTURED_SEED and TRIALS[scenario].rewind,
            progress=progress,
            stop=stop,
        )

    def command(self, scenario: str, seeds: int) -> str:
        return f"si-stream reproduce {self.name} --scenario {scenario} --seeds {seeds}"

    def line(self, record: TrialRecord) -> str:
        found, (told, silent) = matched(record), average(record)
        return (
            f"{record.scenario}, seed {record.seed}: {len(found.matches)} of "
            f"{len(record.true_boundaries)} boundaries found, {len(found.false)} false; "
            f"told {told:.2%}, silent {silent:.2%}; {record.seconds:.0f} s"
        )

    def summarise(self, scenario: str, records: Sequence[TrialRecord]) -> dict[str, Any]:
        return summarised(TRIALS[scenario].title, records)

    def draw(
        self, records: dict[str, list[TrialRecord]], summary: dict[str, Any], directory: Path
    ) -> None:
        from simulators.reproductions.silent.figures import draw

        draw(records, summary, directory)

    def table(self, summary: dict[str, Any]) -> str:
        return table(summary)
