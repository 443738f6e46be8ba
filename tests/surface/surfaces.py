"""What others build on, collected from the code: each surface as plain values with a name.

Invariant: nothing of it depends on the machine, the time or the order of imports, so that a change
in the files beside this one is a change that somebody has made.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from threading import Event
from typing import Any, get_args

import typer
from prometheus_client import CollectorRegistry
from pydantic import BaseModel
from pydantic_core import PydanticUndefined, to_jsonable_python

import si_stream
from services.command import app
from services.exit_codes import exit_code
from services.learner_api.problems import KINDS as LEARNER_KINDS
from services.learner_host import LearnerHost
from services.learner_status import LearnerStatus
from services.predictor.problems import ALL_KINDS as PREDICTOR_KINDS
from si_stream import errors, events
from si_stream.checkpoints.snapshots import SnapshotManifest
from si_stream.checkpoints.store import Manifest
from si_stream.learning.presets import PRESETS
from si_stream.messages.codecs import encode
from si_stream.messages.kinds import Boundary, End
from si_stream.settings import Settings
from si_stream.settings.layers import flattened
from si_stream.state import State
from tests.services.learner_api.serving import answers
from tests.services.predictor.serving import Running, Teacher, serving
from tests.streams import DIGITS, digits_stream, learn, memory_broker, samples, settings

Members = dict[str, Any]
METHODS = ("get", "head", "post", "put", "patch", "delete")


def of_settings() -> Members:
    """Each key: its type and limits, and its default; and what the presets set."""
    keys = dict(_keys(Settings))
    return {
        "keys": keys,
        "presets": {name: _plain(dict(flattened(of))) for name, of in PRESETS.items()},
    }


def _keys(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Any]]:
    properties = model.model_json_schema()["properties"]
    for name, field in model.model_fields.items():
        if inspect.isclass(field.annotation) and issubclass(field.annotation, BaseModel):
            yield from _keys(field.annotation, f"{prefix}{name}.")
        else:
            kind = {k: v for k, v in properties[name].items() if k not in ("title", "description")}
            default = None if field.default is PydanticUndefined else _plain(field.default)
            yield f"{prefix}{name}", {**kind, "default": default}


def of_commands() -> Members:
    """Each command: its arguments and flags."""
    return dict(_commands(typer.main.get_command(app), "si-stream"))


def _commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    yield name, {_flag(one): _parameter(one) for one in command.params}
    for child, inner in sorted(getattr(command, "commands", {}).items()):
        yield from _commands(inner, f"{name} {child}")


def _flag(parameter: Any) -> str:
    flags = ", ".join([*parameter.opts, *parameter.secondary_opts])
    return flags if flags.startswith("-") else parameter.metavar or parameter.name.upper()


def _parameter(parameter: Any) -> Members:
    annotation = parameter.type_descriptor.annotation
    return {
        "type": annotation.__name__
        if annotation in (str, int, float, bool, Path)
        else str(annotation),
        "required": parameter.required,
        "default": _plain(parameter.default),
    }


def of_routes() -> Members:
    """Of each process its routes: methods, statuses, query parameters and media types; and what
    each problem is called."""
    with (
        tempfile.TemporaryDirectory() as name,
        serving(Path(name)) as running,
        answers() as learner,
    ):
        documents = {
            "learner": running.client.get(f"{learner}/openapi.json").json(),
            "predictor": running.client.get("/openapi.json").json(),
        }
    found: Members = {process: _routes(document) for process, document in documents.items()}
    kinds = {**LEARNER_KINDS, **PREDICTOR_KINDS}.values()
    return found | {"problems": {kind.type: kind.status for kind in kinds}}


def _routes(document: Members) -> Members:
    routes = {}
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                routes[f"{method.upper()} {path}"] = _operation(item[method])
    return routes


def _operation(operation: Members) -> Members:
    answered = {
        status: [*answer.get("content", {})] for status, answer in operation["responses"].items()
    }
    body = operation.get("requestBody", {}).get("content", {})
    return {
        "operation": operation.get("operationId"),
        "parameters": [f"{one['in']} {one['name']}" for one in operation.get("parameters", [])],
        "body": [*body],
        "answers": answered,
    }


def of_metrics() -> Members:
    """Of each process its metrics: kind and labels."""
    registry = CollectorRegistry()
    with tempfile.TemporaryDirectory() as name:
        chosen = settings(Path(name), learner={"shadow": "none"})
        with closing(LearnerHost(chosen, memory_broker([]), registry, Event())):
            learner = _metrics(registry)
        teacher = Teacher(Path(name) / "taught")
        teacher.teach()
        teacher.publish()
        with serving(Path(name) / "taught") as running:
            running.wait_until_ready()
            predictor = _metrics(_registry_of(running))
        elsewhere = {"source": "http://127.0.0.1:9"}  # where nobody answers
        with serving(Path(name) / "copy", **elsewhere) as running:
            predictor |= _metrics(_registry_of(running))
    return {"learner": learner, "predictor": predictor}


def _registry_of(running: Running) -> CollectorRegistry:
    return running.app.metrics.registry


def _metrics(registry: CollectorRegistry) -> Members:
    found = {}
    for collector in [*registry._collector_to_names]:
        labels = getattr(collector, "_labelnames", None)
        for family in collector.collect():
            if not family.name.startswith("process_"):
                of_family = labels if labels is not None else getattr(family, "_labelnames", ())
                found[family.name] = {"type": family.type, "labels": [*of_family]}
    assert found
    return found


def of_events() -> Members:
    """Each kind of line in the journal: its members, beside `event` and `time_seconds`."""
    return {
        kind.__name__: {one.name: one.type for one in dataclasses.fields(kind)}
        for kind in get_args(events.Event)
    }


def of_formats() -> Members:
    """Members and tensors of the files, and headers and members of the messages."""
    chosen = settings(model=DIGITS, learner={"shadow": "none"}, detection={"kind": "adwin"})
    state = learn(memory_broker(digits_stream()), chosen)[0]
    rows = samples(2, task="a", classes=("x",))
    envelopes = {
        "samples, arrow": encode(rows, source="/s", event_id="1", time_seconds=0),
        "samples, json": encode(rows, source="/s", event_id="1", codec="json"),
        "boundary": encode(Boundary("1", "b"), source="/s"),
        "end": encode(End("1"), source="/s"),
    }
    return {
        "checkpoint": _members(Manifest),
        "snapshot": _members(SnapshotManifest),
        "status": _members(LearnerStatus),
        "tensors": _tensors(state),
        "messages": {name: dict(one.headers) for name, one in envelopes.items()},
        "json samples": envelopes["samples, json"].value.decode(),
        "json boundary": envelopes["boundary"].value.decode(),
    }


def _tensors(state: State) -> Members:
    """Those of two heads stand for those of all."""
    names = state.tensors().items()
    return {name: str(t.dtype) for name, t in names if not name.startswith(("main/heads.2",))}


def _members(model: type[BaseModel]) -> Members:
    """The format, and what a file has at any depth, by pydantic's own names."""
    schema = model.model_json_schema(mode="serialization")
    parts = {model.__name__: schema} | schema.get("$defs", {})
    return {
        name: {key: _kind(of) for key, of in part.get("properties", {}).items()}
        for name, part in sorted(parts.items())
    }


def _kind(part: Any) -> Any:
    """A part of a JSON schema, without what is for people to read."""
    if isinstance(part, Mapping):
        return {k: _kind(v) for k, v in part.items() if k not in ("title", "description")}
    return [_kind(one) for one in part] if isinstance(part, list) else part


def of_errors() -> Members:
    """Each error: what it is a kind of, and the exit code it ends a command with."""
    kinds = [one for _, one in inspect.getmembers(errors, inspect.isclass)]
    return {
        kind.__name__: {
            "is": kind.__bases__[0].__name__,
            "exit_code": exit_code(kind.__new__(kind)),
        }
        for kind in kinds
        if issubclass(kind, errors.SIStreamError)
    } | {"reasons": [reason.value for reason in errors.Reason]}


def of_names() -> Members:
    """What Python code may import, and how it is called."""
    found = {}
    for module in (si_stream, *_packages()):
        for name in getattr(module, "__all__", ()):
            found[f"{module.__name__}.{name}"] = _called(getattr(module, name))
    return found


def _packages() -> Iterator[Any]:
    for one in pkgutil.walk_packages(si_stream.__path__, "si_stream."):
        if one.ispkg:
            yield importlib.import_module(one.name)


def _called(value: Any) -> str:
    if inspect.isclass(value) and issubclass(value, BaseModel):
        return "model"  # its members are settings
    return str(inspect.signature(value)) if callable(value) else str(value)


def _plain(value: Any) -> Any:
    return to_jsonable_python(value)


SURFACES: dict[str, Callable[[], Members]] = {
    "settings": of_settings,
    "commands": of_commands,
    "routes": of_routes,
    "metrics": of_metrics,
    "events": of_events,
    "formats": of_formats,
    "errors": of_errors,
    "names": of_names,
}
