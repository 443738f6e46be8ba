"""`make serving-test`: predictors answer while all around them fails, and what was seen of it.

Ends with 1 where a request failed that was not in flight at a predictor which was killed, where a
predictor went back to an older version, or served the newest too late.
"""

from __future__ import annotations

import json
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

from deploy.local_process import NotAvailable
from tests.crashes.__main__ import commit
from tests.serving.course import SAMPLES_PER_SECOND, run
from tests.serving.verdict import NEWEST_SECONDS, figures, keeps_its_promises
from tests.soak.__main__ import ROOT, kafka_or_log

DISK_MEBIBYTES = 192
RESULT = ROOT / "docs" / "results" / "serving.json"


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Of all that is done.")] = 5,
    predictors: Annotated[int, typer.Option(min=2, help="That follow the learner.")] = 3,
    per_second: Annotated[float, typer.Option(min=1, help="Requests, of all together.")] = 200.0,
    broker: Annotated[str, typer.Option(help="kafka, or embedded.")] = "kafka",
    output: Annotated[Path, typer.Option(metavar="FILE", help="Where it goes.")] = RESULT,
) -> None:
    """Ask predictors while the learner is killed, rolled back and without room on its disk."""
    at, began = commit(), time.monotonic()
    with TemporaryDirectory(prefix="serving-") as name:
        (Path(name) / "model").mkdir()  # of the embedded log
        try:
            with (
                kafka_or_log(Path(name), kafka=broker == "kafka") as url,
                small_disk(Path(name) / "learner") as disk,
            ):
                seen, until = run(
                    Path(name),
                    url,
                    predictors=predictors,
                    rounds=rounds,
                    per_second=per_second,
                    tell=lambda text: print(text, file=sys.stderr, flush=True),
                )
        except NotAvailable as error:
            raise SystemExit(f"no Kafka broker: {error}; or say --broker embedded") from error
    found = figures(seen, until)
    keeps = keeps_its_promises(found)
    result: dict[str, Any] = {
        "command": shlex.join(["python", "-m", "tests.serving", *sys.argv[1:]]),
        "commit": at,
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "seconds": round(time.monotonic() - began),
        "broker": broker,
        "predictors": predictors,
        "requests_per_second": per_second,
        "samples_per_second": SAMPLES_PER_SECOND,
        "learner_killed": rounds,
        "predictor_killed": rounds,
        "disk_filled": rounds,
        "disk": disk,
        "rolled_back": rounds,
        "limit_seconds_to_serve_the_newest": NEWEST_SECONDS,
        "keeps_its_promises": keeps,
        **found,
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))
    raise typer.Exit(0 if keeps else 1)


@contextmanager
def small_disk(directory: Path) -> Iterator[str]:
    """A file system of its own for a directory, where this process may mount one; what it is."""
    directory.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MEBIBYTES}m", "tmpfs", str(directory)]
    if os.geteuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
        yield "files of the learner's may not grow (RLIMIT_FSIZE)"
        return
    try:
        yield f"tmpfs of {DISK_MEBIBYTES} MiB, filled"
    finally:
        subprocess.run(["umount", str(directory)], check=True)


if __name__ == "__main__":
    typer.run(main)
