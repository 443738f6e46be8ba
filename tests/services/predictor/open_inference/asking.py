"""Clients of the Open Inference Protocol, as they come from their package."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import tritonclient.http as triton

from tests.services.predictor.serving import Running

DATATYPES = {"uint8": "UINT8", "float32": "FP32"}


@contextmanager
def client_of(predictor: Running, **options: Any) -> Iterator[triton.InferenceServerClient]:
    client = triton.InferenceServerClient(predictor.url.removeprefix("http://"), **options)
    try:
        yield client
    finally:
        client.close()


def tensor_of(
    inputs: npt.NDArray[Any], *, binary: bool = True, name: str = "input"
) -> triton.InferInput:
    tensor = triton.InferInput(name, list(inputs.shape), DATATYPES[inputs.dtype.name])
    tensor.set_data_from_numpy(inputs, binary_data=binary)
    return tensor


def requested(*names: str, binary: bool) -> list[triton.InferRequestedOutput]:
    return [triton.InferRequestedOutput(name, binary_data=binary) for name in names]


def texts(result: triton.InferResult, name: str) -> list[str]:
    return [text.decode() if isinstance(text, bytes) else text for text in result.as_numpy(name)]


def as_json(inputs: npt.NDArray[Any], *, nested: bool = False, **members: Any) -> dict[str, Any]:
    """The request in JSON alone."""
    tensor = {
        "name": "input",
        "datatype": DATATYPES[inputs.dtype.name],
        "shape": list(inputs.shape),
        "data": inputs.tolist() if nested else inputs.ravel().tolist(),
    }
    return {"inputs": [tensor], **members}


def outputs_of(response: dict[str, Any]) -> dict[str, Any]:
    return {output["name"]: output["data"] for output in response["outputs"]}


def floats(data: Sequence[float], shape: Sequence[int]) -> npt.NDArray[np.float32]:
    return np.array(data, np.float32).reshape(shape)
