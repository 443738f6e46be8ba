"""An inference request: JSON, and where it says so the input's bytes behind it.

Invariant: a tensor's name, datatype, shape and size are checked against the model and against each
other before a number of it is read; a parameter that would change the answer is taken or refused.
Other parameters and members, which may belong to an extension, are passed over.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy.typing as npt
import orjson
from starlette.types import Scope

from services.predictor.body import Content, Headers, text_of
from services.predictor.inputs import kind
from services.predictor.open_inference.models import INFER, PREFIX, Model, find
from services.predictor.open_inference.responses import Wanted, write
from services.predictor.open_inference.tensors import (
    DATATYPES,
    INPUT,
    OUTPUTS,
    OUTPUTS_OF_A_TASK,
    TASK_PROBABILITY,
)
from services.predictor.problems import ForeignOrigin
from services.predictor.question import Question, Read
from services.predictor.served import WAYS, Served, Way
from si_stream.checkpoints.snapshots import ServedTask
from si_stream.errors import MalformedRequest, WrongInput
from si_stream.settings import PredictorOptions

JSON_LENGTH = b"inference-header-content-length"
LENGTH = re.compile(rb"\d{1,18}")
REFUSED = {
    "classification": "take the outputs probabilities, label and class instead",
    "shared_memory_region": "send and take the tensors in the bodies",
    "sequence_id": "every input is answered by itself",
}


class Asked(NamedTuple):
    """Whose head is to answer, and how it was chosen where none is named."""

    task: ServedTask | None
    choose: Way | None


def infer(options: PredictorOptions, scope: Scope, headers: Headers) -> Read:
    """See `services.predictor.question.Form`."""
    refuse_foreign(headers)
    address = scope["path"].removeprefix(PREFIX).removesuffix(INFER)
    given = headers.get(JSON_LENGTH)
    if given is not None and not LENGTH.fullmatch(given):
        raise MalformedRequest(
            f"the header Inference-Header-Content-Length is {text_of(given)}; send the bytes of "
            "the JSON before the tensors', or leave it out where there are none"
        )
    length = None if given is None else int(given)
    return partial(_read, options.max_inputs, address, length)


def refuse_foreign(headers: Headers) -> None:
    """Clients send any media type here, also those that a browser sends unasked for a page of
    another origin; then it says which.

    Raises:
        ForeignOrigin: it does.
    """
    origin, host = headers.get(b"origin"), headers.get(b"host", b"")
    if origin is not None and origin.partition(b"://")[2].lower() != host.lower():
        raise ForeignOrigin(
            f"the header Origin is {text_of(origin)}, and this is {text_of(host)}; ask from no "
            "page, or from one that this predictor serves"
        )


def _read(
    max_inputs: int, address: str, json_length: int | None, served: Served, content: Content
) -> Question:
    model = find(served, address)
    if json_length is not None and json_length > len(content):
        raise MalformedRequest(
            f"the header Inference-Header-Content-Length is {json_length}, but the body has "
            f"{len(content)} bytes"
        )
    request = _object(memoryview(content)[:json_length])
    raw = memoryview(b"") if json_length is None else memoryview(content)[json_length:]
    identifier = request.get("id")
    if identifier is not None and not isinstance(identifier, str):
        raise MalformedRequest(f"id must be text, not {kind(identifier)}")
    parameters = _parameters(request, "the request")
    task, choose = _asked(served, model, parameters)
    wanted = _wanted(request, parameters, is_chosen=task is None)
    inputs = _inputs(served, request.get("inputs"), raw, max_inputs)
    answer = partial(write, str(served.version), model.name, identifier, wanted)
    return Question(task, choose, inputs, answer, _timeout_seconds(parameters))


def _object(json: memoryview) -> dict[str, Any]:
    try:
        request = orjson.loads(json)
    except orjson.JSONDecodeError as error:
        raise MalformedRequest(
            f"the request is not JSON: {error}; where tensors' bytes follow it, the header "
            "Inference-Header-Content-Length says where it ends"
        ) from None
    if not isinstance(request, dict):
        raise MalformedRequest(f"the request must be an object, not {kind(request)}")
    return request


def _parameters(part: Mapping[str, Any], of: str) -> dict[str, Any]:
    parameters = part.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise MalformedRequest(f"the parameters of {of} must be an object, not {kind(parameters)}")
    if not REFUSED.keys().isdisjoint(parameters):
        for name, instead in REFUSED.items():
            if parameters.get(name):
                raise MalformedRequest(f"the parameter {name} of {of} is not taken; {instead}")
    return parameters


def _asked(served: Served, model: Model, parameters: Mapping[str, Any]) -> Asked:
    name, choose = parameters.get("task"), parameters.get("choose")
    for parameter, value in (("task", name), ("choose", choose)):
        if value is not None and not isinstance(value, str):
            raise MalformedRequest(f"the parameter {parameter} must be text, not {kind(value)}")
    if choose is not None and choose not in WAYS:
        raise MalformedRequest(
            f"the parameter choose is {choose!a:.200}; it is one of {', '.join(WAYS)}"
        )
    if choose is not None and (name is not None or model.task is not None):
        raise MalformedRequest("a task is named, so there is none to choose; leave out choose")
    if model.task is None:
        return Asked(served.task(name, choose), choose)
    if name is not None and name != model.task.name:
        raise MalformedRequest(
            f"the parameter task is {name!a:.200}, but the model {model.name!a:.200} is of another "
            f"task; leave it out, or ask the model {served.model.name}"
        )
    return Asked(model.task, None)


def _timeout_seconds(parameters: Mapping[str, Any]) -> float:
    timeout = parameters.get("timeout")
    if timeout is None or timeout == 0:
        return math.inf
    if type(timeout) is not int or timeout < 0:
        raise MalformedRequest(
            "the parameter timeout must be a whole number of microseconds, 0 for no own deadline"
        )
    return timeout / 1e6


def _wanted(
    request: Mapping[str, Any], parameters: Mapping[str, Any], *, is_chosen: bool
) -> list[Wanted]:
    """The outputs in the order of the answer; all where none are named."""
    there = OUTPUTS if is_chosen else OUTPUTS_OF_A_TASK
    binary = _flag(parameters, "binary_data_output", False)
    outputs = request.get("outputs")
    if not outputs:
        return [Wanted(name, binary) for name in there]
    if not isinstance(outputs, list):
        raise MalformedRequest(f"outputs must be a list, not {kind(outputs)}")
    wanted = []
    for output in outputs:
        name: Any = output.get("name") if isinstance(output, dict) else None
        if name not in there:
            why = ", for the task is not chosen" if name == TASK_PROBABILITY else ""
            raise MalformedRequest(
                f"output {name!a:.200} is not known{why}; the outputs: {', '.join(there)}"
            )
        own = _parameters(output, f"output {name}")
        wanted.append(Wanted(name, _flag(own, "binary_data", binary)))
    if len({name for name, _ in wanted}) < len(wanted):
        raise MalformedRequest("an output is named twice; name each once")
    return wanted


def _flag(parameters: Mapping[str, Any], name: str, default: bool) -> bool:
    flag = parameters.get(name, default)
    if not isinstance(flag, bool):
        raise MalformedRequest(f"the parameter {name} must be true or false, not {kind(flag)}")
    return flag


def _inputs(served: Served, tensors: object, raw: memoryview, max_inputs: int) -> npt.NDArray[Any]:
    takes = served.takes_tensor
    if not isinstance(tensors, list) or len(tensors) != 1 or not isinstance(tensors[0], dict):
        given = f"{len(tensors)} items" if isinstance(tensors, list) else kind(tensors)
        raise WrongInput(f"inputs must be a list of one tensor, named {INPUT!r}, not {given}")
    tensor = tensors[0]
    name, datatype, shape = (tensor.get(member) for member in ("name", "datatype", "shape"))
    if name != INPUT:
        raise WrongInput(f"the tensor {name!a:.200} is not known; the model takes {INPUT!r} alone")
    expected = DATATYPES[served.model.dtype]
    if datatype != expected:
        raise WrongInput(
            f"the datatype of {INPUT!r} is {datatype!a:.200}; the model takes {expected}"
        )
    count = takes.count(shape, max_inputs)
    size = _parameters(tensor, f"input {INPUT}").get("binary_data_size")
    if size is None:
        if raw:
            raise MalformedRequest(
                f"{len(raw)} bytes follow the JSON, but the input has no parameter binary_data_size"
            )
        return takes.from_data(tensor.get("data"), count)
    if type(size) is not int or size != count * takes.row_bytes:
        raise WrongInput(
            f"binary_data_size is {size!a:.100}, but a tensor of shape {shape} and {expected} has "
            f"{count * takes.row_bytes} bytes"
        )
    if size != len(raw):
        raise WrongInput(
            f"binary_data_size is {size}, but {len(raw)} bytes follow the JSON; the header "
            "Inference-Header-Content-Length says where it ends"
        )
    if "data" in tensor:
        raise MalformedRequest("the input has both data and binary_data_size; send one of them")
    return takes.from_rows(raw, max_inputs)
