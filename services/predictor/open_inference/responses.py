"""An inference response: JSON, and behind it the bytes of those outputs that are asked for so.

Invariant: its numbers are the snapshot's, to the bit. Where inputs have tasks of their own, whose
heads may have more or fewer labels, shorter rows are filled up with 0, which is how probable a
label is that a head does not have.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import orjson

from services.predictor.answers import class_of
from services.predictor.open_inference.tensors import (
    CLASS,
    LABEL,
    PROBABILITIES,
    TASK,
    TASK_PROBABILITY,
    Tensor,
)
from services.predictor.question import JSON_REPLY, Reply
from services.predictor.served import Chosen, Named


class Wanted(NamedTuple):
    name: str
    binary: bool


def write(
    version: str,
    model: str,
    identifier: str | None,
    wanted: Sequence[Wanted],
    answer: Named | Chosen,
) -> Reply:
    tensors = _tensors(answer)
    outputs: list[dict[str, Any]] = []
    raw: list[bytes] = []
    for name, binary in wanted:
        tensor = tensors[name]
        output: dict[str, Any] = {"name": name, "datatype": tensor.datatype, "shape": tensor.shape}
        if binary:
            raw.append(tensor.raw())
            output["parameters"] = {"binary_data_size": len(raw[-1])}
        else:
            output["data"] = tensor.data()
        outputs.append(output)
    response: dict[str, Any] = {"model_name": model, "model_version": version, "outputs": outputs}
    if identifier is not None:
        response["id"] = identifier
    json = orjson.dumps(response, option=orjson.OPT_SERIALIZE_NUMPY)
    if not raw:
        return Reply(JSON_REPLY, json)
    headers = [
        (b"content-type", b"application/octet-stream"),
        (b"inference-header-content-length", str(len(json)).encode()),
    ]
    return Reply(headers, b"".join((json, *raw)))


def _tensors(answer: Named | Chosen) -> dict[str, Tensor]:
    tensors = {}
    if isinstance(answer, Named):
        probabilities_BC = answer.probabilities_BC
        tasks = [answer.task] * len(probabilities_BC)
    else:
        probabilities_BC = _filled_up(answer.probabilities)
        tasks = answer.tasks
        tensors[TASK_PROBABILITY] = Tensor.of_floats(answer.task_probability_B)
    label_B = probabilities_BC.argmax(1)
    classes = [class_of(task, label) for task, label in zip(tasks, label_B.tolist(), strict=True)]
    return tensors | {
        PROBABILITIES: Tensor.of_floats(probabilities_BC),
        LABEL: Tensor.of_integers(label_B),
        CLASS: Tensor.of_texts(name or "" for name in classes),
        TASK: Tensor.of_texts(task.name for task in tasks),
    }


def _filled_up(rows: Sequence[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    probabilities_BC = np.zeros((len(rows), max(map(len, rows))), np.float32)
    for filled, row in zip(probabilities_BC, rows, strict=True):
        filled[: len(row)] = row
    return probabilities_BC
