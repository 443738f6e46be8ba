"""Samples to try: some of a task's holdout set, as many as an answer has room for."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from services import samples
from services.samples import SampleList
from tests.services.predictor.serving import Running, serving
from tests.services.test_learner_host import MESSAGES
from tests.services.test_learner_host import run as learn_all
from tests.streams import memory_broker, settings


def test_samples_are_some_of_the_holdout_set_evenly_over_the_labels(learned: Path) -> None:
    with serving(learned) as running:
        running.wait_until_ready()
        answer = running.client.get("/samples", params={"task": "a"}).json()
        assert answer["task"] == "a"
        assert [sample["label"] for sample in answer["samples"]] == [0, 1, 2]
        asked = running.client.post(
            "/predict",
            json={"task": "a", "inputs": [sample["input"] for sample in answer["samples"]]},
        )
        assert asked.status_code == 200
        assert running.client.get("/samples", params={"task": "b"}).json()["samples"] == []


def test_the_page_is_answered_with_fewer_samples_the_larger_they_are(
    learned: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(learned) as running:
        running.wait_until_ready()
        [values] = running.client.get("/tasks").json()["model"]["input_shape"]
    for room, count in ((2 * values + 1, 2), (values - 1, 0)):
        monkeypatch.setattr(samples, "LIMIT_VALUES", room)
        with serving(learned) as running:
            running.wait_until_ready()
            answer = running.client.get("/samples?task=a")
            assert answer.headers["content-type"] == "application/json"
            assert len(answer.json()["samples"]) == count


def test_samples_are_answered_as_they_are_documented(learned: Path) -> None:
    with serving(learned) as running:
        running.wait_until_ready()
        answer = running.client.get("/samples?task=a")
        document = running.client.get("/openapi.json").json()
    found = SampleList.model_validate_json(answer.content)
    assert orjson.loads(answer.content) == found.model_dump(mode="json", by_alias=True)
    content = document["paths"]["/samples"]["get"]["responses"]["200"]["content"]
    assert content["application/json"]["schema"] == {"$ref": "#/components/schemas/SampleList"}


def test_where_there_is_no_checkpoint_there_are_no_samples(predictor: Running) -> None:
    answer = predictor.client.get("/samples?task=digits-0-1")
    assert answer.json() == {"task": "digits-0-1", "samples": []}


@pytest.mark.parametrize(
    ("query", "status", "kind"),
    [("", 400, "malformed-request"), ("?task=none", 404, "unknown-task")],
)
def test_samples_of_no_task_are_a_problem(
    query: str, status: int, kind: str, predictor: Running
) -> None:
    answer = predictor.client.get(f"/samples{query}")
    assert answer.status_code == status
    assert answer.json()["type"] == f"urn:si-stream:problem:{kind}"


def test_a_damaged_holdout_file_is_no_sample_and_no_fault(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    learn_all(memory_broker(MESSAGES), settings(tmp_path))
    [file] = (tmp_path / "holdouts").iterdir()
    file.write_bytes(file.read_bytes()[:-1])
    with serving(tmp_path) as running:
        running.wait_until_ready()
        assert running.client.get("/samples?task=a").json()["samples"] == []
    assert "no samples of task a" in caplog.text
