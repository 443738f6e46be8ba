"""What can be read from the predictor, and the document that describes all of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.openapi.models import OpenAPI
from pydantic import TypeAdapter

from services.predictor import answers
from services.predictor.mirror.source import Source
from services.predictor.predict import JSON as JSON_TYPE
from services.predictor.predict import ROWS as ROWS_TYPE
from services.predictor.problems import KINDS
from services.samples import SampleList
from services.web.problems import INTERNAL_ERROR, MEDIA_TYPE, TOO_MANY_REQUESTS, Problem
from si_stream.errors import NoSnapshotYet
from si_stream.evaluation import prequential
from si_stream.evaluation.accuracy_matrix import AccuracyMatrix
from si_stream.evaluation.measures import Live, Measures
from si_stream.evaluation.plasticity import Plasticity
from tests.services.predictor.serving import JSON, ROWS, Running, Teacher, serving

ROUTES = {
    "/": "get",
    "/accuracy-matrix": "get",
    "/events": "get",
    "/healthz/live": "get",
    "/healthz/ready": "get",
    "/metrics": "get",
    "/page/{version}/{name}": "get",
    "/predict": "post",
    "/samples": "get",
    "/source": "get",
    "/tasks": "get",
    "/v2": "get",
    "/v2/health/live": "get",
    "/v2/health/ready": "get",
    "/v2/models/{model}": "get",
    "/v2/models/{model}/infer": "post",
    "/v2/models/{model}/ready": "get",
    "/v2/models/{model}/versions/{version}": "get",
    "/v2/models/{model}/versions/{version}/infer": "post",
    "/v2/models/{model}/versions/{version}/ready": "get",
}


@pytest.fixture
def document(predictor: Running) -> dict[str, Any]:
    document: dict[str, Any] = predictor.client.get("/openapi.json").json()
    return document


def everything_in(tree: object) -> Iterator[object]:
    yield tree
    if isinstance(tree, dict | list):
        for inner in tree.values() if isinstance(tree, dict) else tree:
            yield from everything_in(inner)


def test_the_tasks_and_what_the_model_takes(predictor: Running) -> None:
    assert predictor.client.get("/tasks").json() == {
        "version": {"epoch": 1, "step": 3},
        "model": {
            "name": "si-stream",
            "input_shape": [4],
            "dtype": "uint8",
            "outputs": 2,
            "heads": "per-task",
        },
        "active_task": "digits-2-3",
        "tasks": [
            {
                "name": "digits-0-1",
                "classes": ["zero", "one"],
                "labels": None,
                "samples": 24,
                "holdout_accuracy": 0.59,
                "holdout_samples": 100,
                "choosable": False,
            },
            {
                "name": "digits-2-3",
                "classes": None,
                "labels": None,
                "samples": 24,
                "holdout_accuracy": 0.97,
                "holdout_samples": 100,
                "choosable": False,
            },
        ],
    }


def test_the_accuracy_matrix_of_every_track(tmp_path: Path) -> None:
    teacher = Teacher(tmp_path)
    teacher.teach()
    kept, forgot = AccuracyMatrix(), AccuracyMatrix()
    for matrix, later in ((kept, 0.98), (forgot, 0.5)):
        matrix.append([0.99], trained=0)
        matrix.append([later, 0.97], trained=1)
    plasticity = Plasticity()
    for task, wrong, learned in (("digits-0-1", 20, 0.99), ("digits-2-3", 60, 0.97)):
        tested = prequential.Tested(samples=500, early_samples=100, early_wrong=wrong)
        plasticity.end(task, tested, learned, first_samples=100)
    figures = {"forgetting": 0.49, "forgetting_standard_error": 0.04}
    live = Live(accuracy=0.5, samples=100, step=40, **figures)
    teacher.publish(
        tracks={
            "main": Measures(consolidator="synaptic-intelligence", accuracy=kept),
            "shadow": Measures(
                consolidator="none",
                accuracy=forgot,
                plasticity=plasticity,
                live={"digits-0-1": live},
            ),
        }
    )
    with serving(tmp_path) as predictor:
        predictor.wait_until_ready()
        answer = predictor.client.get("/accuracy-matrix").json()
    assert answer["tasks"] == ["digits-0-1", "digits-2-3"]
    assert answer["version"] == {"epoch": 1, "step": 3}
    assert answer["tracks"].keys() == {"main", "shadow"}
    shadow = answer["tracks"]["shadow"]
    assert shadow == {
        "consolidator": "none",
        "rows": [[0.99, None], [0.5, 0.97]],
        "average_accuracy": forgot.average_accuracy(),
        "forgetting": {"digits-0-1": forgot.forgetting(0), "digits-2-3": None},
        "mean_forgetting": forgot.mean_forgetting(),
        "backward_transfer": forgot.backward_transfer(),
        "latest": {
            "digits-0-1": {
                "step": 40,
                "accuracy": 0.5,
                "standard_error": 0.05,
                "samples": 100,
                "forgetting": 0.49,
                "forgetting_standard_error": 0.04,
            }
        },
        "plasticity": {
            "digits-0-1": {
                "early_accuracy": 0.8,
                "learned_accuracy": 0.99,
                "speed_ratio": plasticity.speed("digits-0-1"),
                "level_ratio": plasticity.level("digits-0-1"),
            },
            "digits-2-3": {
                "early_accuracy": 0.4,
                "learned_accuracy": 0.97,
                "speed_ratio": pytest.approx(0.4 / 0.6),
                "level_ratio": pytest.approx(0.97 / 0.98),
            },
        },
    }
    assert shadow["mean_forgetting"] == pytest.approx(0.49)
    assert answer["tracks"]["main"]["mean_forgetting"] == pytest.approx(0.01)


def test_before_the_first_boundary_the_matrix_is_empty(tmp_path: Path) -> None:
    teacher = Teacher(tmp_path)
    teacher.teach()
    teacher.publish(tracks={"main": Measures(consolidator="none")})
    with serving(tmp_path) as predictor:
        predictor.wait_until_ready()
        track = predictor.client.get("/accuracy-matrix").json()["tracks"]["main"]
    assert track["rows"] == []
    assert track["average_accuracy"] is None
    assert track["backward_transfer"] is None
    assert track["plasticity"] == {}


def test_health(predictor: Running) -> None:
    assert predictor.client.get("/healthz/live").json() == {"status": "live"}
    ready = predictor.client.get("/healthz/ready").json()
    assert ready == {"status": "ready", "version": {"epoch": 1, "step": 3}}


def test_the_routes_are_these(document: dict[str, Any]) -> None:
    assert {path: next(iter(methods)) for path, methods in document["paths"].items()} == ROUTES
    assert all(len(methods) == 1 for methods in document["paths"].values())


def test_the_document_is_openapi_whose_references_lead_somewhere(document: dict[str, Any]) -> None:
    OpenAPI.model_validate(document)
    assert document["openapi"].startswith("3.1")
    references = {
        inner["$ref"]
        for inner in everything_in(document)
        if isinstance(inner, dict) and isinstance(inner.get("$ref"), str)
    }
    assert "#/components/schemas/Problem" in references
    for reference in references:
        place: Any = document
        for name in reference.removeprefix("#/").split("/"):
            place = place[name]
        assert place["type"]
    operations = [op for methods in document["paths"].values() for op in methods.values()]
    identifiers = [operation["operationId"] for operation in operations]
    assert len(set(identifiers)) == len(identifiers)
    assert all(operation["description"] for operation in operations)


def test_predict_takes_both_media_types_and_documents_every_problem(
    document: dict[str, Any],
) -> None:
    operation = document["paths"]["/predict"]["post"]
    assert operation["requestBody"]["content"].keys() == {JSON_TYPE, ROWS_TYPE}
    statuses = {str(kind.status) for kind in (*KINDS.values(), INTERNAL_ERROR)}
    assert operation["responses"].keys() == {"200", "401", *statuses}
    examples = [
        example["value"]
        for status in statuses
        for example in operation["responses"][status]["content"][MEDIA_TYPE]["examples"].values()
    ]
    assert {example["type"] for example in examples} == {
        kind.type for kind in (*KINDS.values(), INTERNAL_ERROR, TOO_MANY_REQUESTS)
    }
    assert "Retry-After" in operation["responses"]["503"]["headers"]


@pytest.mark.parametrize("path", ["/tasks", "/accuracy-matrix", "/healthz/ready"])
def test_what_needs_a_snapshot_documents_that_there_may_be_none(
    path: str, document: dict[str, Any]
) -> None:
    response = document["paths"][path]["get"]["responses"]["503"]
    assert KINDS[NoSnapshotYet].name in response["content"][MEDIA_TYPE]["examples"]


def test_every_example_of_a_problem_is_one(document: dict[str, Any]) -> None:
    schema = document["components"]["schemas"]["Problem"]
    examples = [
        example["value"]
        for methods in document["paths"].values()
        for operation in methods.values()
        for response in operation["responses"].values()
        for example in response.get("content", {}).get(MEDIA_TYPE, {}).get("examples", {}).values()
    ]
    assert examples
    for example in examples:
        Problem.model_validate(example)
        assert set(schema["required"]) <= example.keys() <= schema["properties"].keys()
        assert example["detail"]


def test_the_documented_request_is_answered_as_documented(
    predictor: Running, document: dict[str, Any], tmp_path: Path
) -> None:
    teacher = Teacher(tmp_path)
    teacher.teach()
    teacher.publish_choosable()
    operation = document["paths"]["/predict"]["post"]
    content = operation["requestBody"]["content"]
    with serving(tmp_path) as choosing:
        choosing.wait_until_ready()
        models = set()
        for example in content[JSON_TYPE]["examples"].values():
            answer = choosing.client.post("/predict", json=example["value"], headers=JSON)
            model = answers.Predictions if "task" in example["value"] else answers.ChosenPredictions
            predictions = model.model_validate_json(answer.content, strict=True)
            assert len(predictions.predictions) == len(example["value"]["inputs"])
            models.add(model)
        assert len(models) == 2
        answer = choosing.client.post("/predict?choose=portrait", content=bytes(8), headers=ROWS)
        chosen = answers.ChosenColumns.model_validate_json(answer.content, strict=True)
        assert len(chosen.tasks) == len(chosen.task_probabilities) == len(chosen.labels) == 2
    task, choose, deadline = operation["parameters"]
    assert (task["name"], task["in"]) == ("task", "query")
    assert (choose["name"], choose["in"]) == ("choose", "query")
    assert choose["schema"]["enum"] == ["portrait", "active"]
    headers = {**ROWS, deadline["name"]: str(deadline["example"] * 100)}
    answer = predictor.client.post(
        "/predict", params={"task": task["example"]}, content=bytes(8), headers=headers
    )
    columns = answers.PredictionColumns.model_validate_json(answer.content, strict=True)
    assert len(columns.labels) == len(columns.probabilities) == 2


@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("/tasks", answers.TaskList),
        ("/accuracy-matrix", answers.AccuracyMatrices),
        ("/healthz/live", answers.Liveness),
        ("/healthz/ready", answers.Readiness),
        ("/samples?task=digits-0-1", SampleList),
        ("/source", Source),
    ],
)
def test_what_is_read_is_as_documented(path: str, model: type, predictor: Running) -> None:
    response = predictor.client.get(path)
    assert response.headers["content-type"] == "application/json"
    TypeAdapter(model).validate_json(response.content, strict=True)
