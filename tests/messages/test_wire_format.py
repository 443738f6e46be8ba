"""The examples of docs/wire-format.md, copied as a reader would, and its tables."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from si_stream.brokers import open_broker
from si_stream.errors import Reason
from si_stream.messages.codecs import ARROW, decode
from si_stream.messages.kinds import Boundary, Samples, SampleSchema

DOCUMENT = (Path(__file__).parents[2] / "docs" / "wire-format.md").read_text(encoding="utf-8")
SCHEMA = SampleSchema(input_shape=(4,), dtype="uint8", outputs=2)


def example(language: str, containing: str = "") -> str:
    blocks: list[str] = re.findall(rf"```{language}\n(.*?)```", DOCUMENT, re.DOTALL)
    (block,) = [block for block in blocks if containing in block]
    return block


def arrow_payload() -> bytes:
    names: dict[str, Any] = {}
    exec(example("python", "pyarrow"), names)
    payload = names["payload"]
    assert isinstance(payload, bytes)
    return payload


@pytest.mark.parametrize(
    ("headers", "payload"),
    [({}, example("json").encode()), ({"content-type": ARROW}, arrow_payload())],
    ids=["json", "arrow"],
)
def test_the_examples_of_samples_are_read_as_what_they_say(
    headers: dict[str, str], payload: bytes
) -> None:
    samples = decode(headers, payload, SCHEMA, max_bytes=10_000)
    assert isinstance(samples, Samples)
    assert samples.inputs.tolist() == [[0, 128, 255, 7], [9, 0, 0, 64]]
    assert samples.labels.tolist() == [0, 1]
    assert (samples.task, samples.role, samples.classes) == ("0/1", "train", ("zero", "one"))


def test_the_example_of_the_embedded_log_leaves_samples_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    exec(example("python", "open_broker"), {})
    with open_broker("embedded:log.sqlite") as broker, broker.reader("samples", {}) as reader:
        (record,) = reader.poll(0)
    samples = decode(record.headers, record.value, SCHEMA, max_bytes=10_000)
    assert isinstance(samples, Samples)
    assert samples.inputs.tolist() == [[0, 128, 255, 7]]


def test_the_json_example_is_one_line_as_kcat_wants_it() -> None:
    assert example("json").count("\n") == 1


def test_the_boundary_as_it_is_typed_is_a_boundary() -> None:
    (line,) = [line for line in example("sh").splitlines() if line.startswith("echo")]
    headers = dict(re.findall(r"-H (\S+?)=(\S+)", line))
    (payload,) = re.findall(r"echo '(.*?)'", line)
    assert decode(headers, payload.encode(), SCHEMA, max_bytes=100) == Boundary("my-boundary-1")


def test_every_reason_is_in_the_table() -> None:
    documented = re.findall(r"^\| `(\w+)` \| .* \| the (?:message|row) \|$", DOCUMENT, re.MULTILINE)
    assert documented == [reason.value for reason in sorted(Reason, key=documented.index)]
    assert len(documented) == len(Reason)
