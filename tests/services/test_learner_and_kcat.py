"""A person with kcat writes samples that are learned, and reads what was not."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from services.processes import Child
from si_stream.brokers.interface import Envelope
from si_stream.brokers.kafka.broker import KafkaBroker
from si_stream.messages.kinds import Boundary, End, Message, Samples
from tests.services.learner_process import LIMIT_SECONDS, bare, finished, on_kafka
from tests.streams import memory_broker, samples

BAD = '{"labels": [0], "inputs": [[1, 2, 3]], "note": "¡no!"}'
FIRST = [samples(20, 90_000, task="a", role="holdout"), samples(7, task="a"), samples(30, 7)]
SECOND = [samples(25, 37, task="b", classes=("zero", "one", "two"))]


class Kcat(NamedTuple):
    command: str
    server: str
    topic: str

    def write(self, lines: Sequence[str], *headers: str) -> None:
        options = [word for header in headers for word in ("-H", header)]
        self._run("-P", "-t", self.topic, "-p", "0", *options, text="\n".join(lines) + "\n")

    def read(self, topic: str) -> list[dict[str, Any]]:
        """Whole records, as kcat tells them to programs."""
        lines = self._run("-C", "-t", topic, "-o", "beginning", "-e", "-q", "-J")
        return [json.loads(line) for line in lines.splitlines()]

    def _run(self, *arguments: str, text: str = "") -> str:
        return subprocess.run(
            [self.command, "-b", self.server, *arguments],
            input=text,
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=True,
            timeout=LIMIT_SECONDS,
        ).stdout


@pytest.fixture
def person(kcat: str, kafka_url: str, topic: str) -> Kcat:
    return Kcat(kcat, kafka_url.removeprefix("kafka://"), topic)


def typed(one: Samples) -> str:
    """As docs/wire-format.md shows it to people, without what may be left out."""
    told = {"task": one.task, "role": one.role, "classes": one.classes}
    body = {"labels": one.labels.tolist(), "inputs": one.inputs.tolist()}
    return json.dumps({k: v for k, v in told.items() if v not in (None, "train")} | body)


def test_what_kcat_writes_is_learned_and_what_is_bad_of_it_can_be_read_with_kcat(
    person: Kcat, kafka: KafkaBroker, kafka_url: str, tmp_path: Path, started: list[Child]
) -> None:
    kafka.create_stream(person.topic)
    person.write([typed(one) for one in FIRST])
    person.write(["{}"], "ce_type=si-stream.boundary", "ce_id=my-boundary")
    person.write([BAD], "content-type=application/json", "sender=somebody")
    person.write([typed(one) for one in SECOND])
    person.write(["{}"], "ce_type=si-stream.end", "ce_id=my-end")

    chosen = on_kafka(tmp_path, person.topic, kafka_url)
    started.append(child := Child("learner", settings=chosen))
    resumed = finished(child, chosen)
    bad = Envelope({}, BAD.encode())
    first: list[Message | Envelope] = [*FIRST, Boundary("my-boundary"), bad]
    assert resumed == bare(memory_broker([*first, *SECOND, End("my-end")]), chosen)

    (letter,) = person.read(f"{person.topic}.dead-letter")
    assert letter["payload"] == BAD
    headers = dict(zip(letter["headers"][::2], letter["headers"][1::2], strict=True))
    assert headers.pop("dead_letter_time").endswith("+00:00")
    assert headers.pop("dead_letter_reason") == "undecodable"
    assert "note" in headers.pop("dead_letter_detail")
    assert headers == {
        "content-type": "application/json",
        "sender": "somebody",
        "dead_letter_id": f"{kafka.stream_id(person.topic)}/0/4",
        "dead_letter_stream": person.topic,
        "dead_letter_partition": "0",
        "dead_letter_offset": "4",
    }
