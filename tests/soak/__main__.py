"""`python -m tests.soak`: the service as users run it, under load for an hour; see `make soak`."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

from deploy.kafka.local_broker import LocalBroker
from deploy.local_process import NotAvailable
from services.demo.question import request
from services.processes import ADDRESS
from si_stream.brokers import open_broker
from si_stream.brokers.options import KafkaOptions
from simulators.scenarios import load_scenario
from tests.fuzz.__main__ import commit
from tests.soak.load import Asker, Sender
from tests.soak.samples import (
    ABSOLUTE_LIMITS,
    RELATIVE_LIMIT,
    Usage,
    children_of,
    disk_bytes,
    growth,
    is_flat,
    usage,
)

ROOT = Path(__file__).parents[2]
STREAM = "samples"
SAMPLES_PER_SECOND = 1500.0
QUESTIONS_PER_SECOND = 20.0
LEAST_LOOKS = 8  # two to a quarter
THINNED = 60


@contextmanager
def kafka_or_log(directory: Path, kafka: bool) -> Iterator[str]:
    """The URL of a Kafka broker of this run, or of the embedded log in the model's directory."""
    if not kafka:
        yield f"embedded:{directory / 'model' / 'broker.sqlite'}"
        return
    broker = LocalBroker(directory / "kafka")
    broker.start()
    try:
        yield f"kafka://{broker.server}"
    finally:
        broker.stop()


@contextmanager
def serving(directory: Path, url: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`si-stream serve` and the address of its predictor."""
    words = ["serve", "--preset", "split-digits", "--directory", str(directory / "model")]
    words += ["--port", "0", "--set", "learner.metrics_port=0", "--set", f"stream.broker={url}"]
    with (directory / "log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "services", *words],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        predictor = ADDRESS.search(line)
        if predictor is None:
            raise SystemExit((directory / "log").read_text(encoding="utf-8")[-2000:])
        yield process, predictor.group()
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate()


def watch(
    process: subprocess.Popen[str], model: Path, seconds: float, interval_seconds: float
) -> list[dict[str, Any]]:
    """One row a look: when, what each process uses, and what the model's directory takes."""
    rows, started = [], time.monotonic()
    names = children_of(process.pid)
    while (now := time.monotonic() - started) < seconds:
        if process.poll() is not None:
            raise SystemExit(f"si-stream serve ended with {process.returncode} after {now:.0f} s")
        used = {name: usage(child)._asdict() for name, child in names.items()}
        rows.append({"seconds": round(now, 1), **used, "disk_bytes": disk_bytes(model)})
        time.sleep(interval_seconds)
    return rows


def judged(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Of each process and figure: the medians of the second and last quarter, and whether flat."""
    verdicts: dict[str, Any] = {}
    for name in ("learner", "predictor"):
        for figure, limit in zip(Usage._fields, ABSOLUTE_LIMITS, strict=True):
            series = [row[name][figure] for row in rows]
            before, after = growth(series)
            flat = is_flat(series, limit)
            verdicts[f"{name}_{figure}"] = {
                "second_quarter": before,
                "last_quarter": after,
                "flat": flat,
            }
    return verdicts


def main(
    seconds: Annotated[float, typer.Option(min=1, help="How long.")] = 3600.0,
    interval_seconds: Annotated[float, typer.Option(min=0.1, help="Between two looks.")] = 10.0,
    broker: Annotated[str, typer.Option(help="kafka, embedded, or auto.")] = "auto",
    output: Annotated[Path, typer.Option(metavar="FILE", help="Where the figures go.")] = (
        ROOT / "docs/results/soak.json"
    ),
) -> None:
    """Learn and answer for hours, and see whether memory, threads and descriptors stay flat."""
    at, kafka = commit(), broker != "embedded"
    interval_seconds = min(interval_seconds, seconds / LEAST_LOOKS)
    with TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "model").mkdir()
        try:
            figures = soaked(directory, seconds, interval_seconds, kafka)
        except NotAvailable as error:
            if broker == "kafka":
                raise SystemExit(f"no Kafka broker: {error}") from error
            print(f"no Kafka broker ({error}); the embedded log instead", file=sys.stderr)
            kafka = False
            figures = soaked(directory, seconds, interval_seconds, kafka)
    settings = {
        "command": shlex.join(["python", "-m", "tests.soak", *sys.argv[1:]]),
        "commit": at,
        "broker": "kafka" if kafka else "embedded",
        "cores": os.cpu_count(),
        "seconds": seconds,
        "interval_seconds": interval_seconds,
        "samples_per_second": SAMPLES_PER_SECOND,
        "questions_per_second": QUESTIONS_PER_SECOND,
        "rule": "the median of the last quarter is at most that of the second quarter by "
        f"{RELATIVE_LIMIT:.0%} and a constant more",
        "constants": ABSOLUTE_LIMITS._asdict(),
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(settings | figures, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(figures["judged"], indent=1))
    if not figures["flat"]:
        raise SystemExit(f"not flat; see {output}")


def soaked(directory: Path, seconds: float, interval_seconds: float, kafka: bool) -> dict[str, Any]:
    scenario, model = load_scenario("split-digits"), directory / "model"
    with kafka_or_log(directory, kafka) as url, open_broker(url, KafkaOptions()) as broker:
        broker.create_stream(STREAM)
        with serving(directory, url) as (process, address):
            sender = Sender(broker, STREAM, scenario, SAMPLES_PER_SECOND)
            path = f"/predict?task={scenario.tasks[0].name}"
            asker = Asker(address, path, QUESTIONS_PER_SECOND)
            sender.start()
            wait_until_answered(process, address, path, asker)
            rows = watch(process, model, seconds, interval_seconds)
            sender.finish()
            asker.finish()
        events = (model / "events.jsonl").read_text(encoding="utf-8").splitlines()
    verdicts = judged(rows)
    told = [json.loads(line) for line in events]
    return {
        "messages_sent": sender.messages,
        "samples_sent": sender.samples,
        "bad_messages_sent": sender.bad,
        "consolidations": sum(event["event"] == "Consolidated" for event in told),
        "predictions": asker.answered,
        "predictions_refused": asker.refused,
        "disk_bytes": {"first": rows[0]["disk_bytes"], "last": rows[-1]["disk_bytes"]},
        "flat": all(verdict["flat"] for verdict in verdicts.values()),
        "judged": verdicts,
        "series": rows[:: max(1, len(rows) // THINNED)],
    }


def wait_until_answered(
    process: subprocess.Popen[str], address: str, path: str, asker: Asker
) -> None:
    """Ask until the first task has a head; from there on, go on asking."""
    while request(address, path, bytes(64))[0] != 200:
        if process.poll() is not None:
            raise SystemExit(f"si-stream serve ended with {process.returncode}")
        time.sleep(0.1)
    asker.start()


if __name__ == "__main__":
    typer.run(main)
