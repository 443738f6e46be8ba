"""What the protocol's bodies look like, as the OpenAPI document describes them.

Inference requests and responses are read and written without going through these models.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from services.predictor.open_inference.tensors import INPUT, OUTPUTS

Parameters = dict[str, str | int | float | bool]


class ServerLive(BaseModel):
    live: bool = True


class ServerReady(BaseModel):
    ready: bool = True


class ServerMetadata(BaseModel):
    name: str
    version: str = Field(description="of SI Stream")
    extensions: list[str]


class ModelReady(BaseModel):
    name: str
    ready: bool = True


class TensorMetadata(BaseModel):
    name: str
    datatype: str
    shape: list[int] = Field(description="-1: any size, and of labels that are open: it grows")


class ModelMetadata(BaseModel):
    name: str
    versions: list[str] = Field(description="the one that is served: EPOCH.STEP of the snapshot")
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class RequestInput(BaseModel):
    name: str = Field(description=f"`{INPUT}`")
    datatype: str = Field(description="`UINT8` or `FP32`, as the model takes it")
    shape: list[int] = Field(description="the number of inputs, then the model's `input_shape`")
    parameters: Parameters | None = Field(
        None,
        description="`binary_data_size`: bytes of the tensor behind the JSON, in C order, "
        "little-endian; then there is no `data`",
    )
    data: list[Any] | None = Field(
        None, description="all numbers in one list, or nested lists of the shape"
    )


class RequestOutput(BaseModel):
    name: str = Field(description=", ".join(f"`{name}`" for name in OUTPUTS))
    parameters: Parameters | None = Field(
        None,
        description="`binary_data`: as bytes behind the JSON; `binary_data_output` where it "
        "is not given",
    )


class InferenceRequest(BaseModel):
    id: str | None = Field(None, description="comes back in the response")
    parameters: Parameters | None = Field(
        None,
        description="`task`: whose head is to answer; `choose`: how it is chosen where none is "
        "named, as with `POST /predict`; `binary_data_output`: all outputs as bytes behind the "
        "JSON; `timeout`: in microseconds, after which the request is not computed any more",
    )
    inputs: list[RequestInput] = Field(min_length=1, max_length=1)
    outputs: list[RequestOutput] | None = Field(
        None, description="in the order of the response; where there are none, all"
    )


class ResponseOutput(BaseModel):
    name: str
    datatype: str
    shape: list[int]
    parameters: Parameters | None = Field(
        None, description="`binary_data_size`: bytes of the tensor behind the JSON"
    )
    data: list[Any] | None = Field(None, description="flat; where it is not behind the JSON")


class InferenceResponse(BaseModel):
    """`probabilities` of the labels 0, 1, … (`FP32`), the most probable `label` (`INT64`), what it
    stands for (`class`, `BYTES`, empty where it is not known) and whose head has answered (`task`,
    `BYTES`); where each input has a task of its own, also how probable that is
    (`task_probability`, `FP32`)."""

    model_name: str
    model_version: str = Field(description="EPOCH.STEP of the snapshot that has answered")
    id: str | None = None
    outputs: list[ResponseOutput]
