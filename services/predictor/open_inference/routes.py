"""The protocol's routes.

Invariant: a model is ready where an inference request for it would be answered.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from services.predictor.admission import Admission
from services.predictor.documentation import DEADLINE, NOT_READY
from services.predictor.follower import Follower
from services.predictor.open_inference import schemas
from services.predictor.open_inference.documentation import (
    INFERENCE,
    INFERENCE_PROBLEMS,
    LENGTH,
    MODEL,
    MODEL_PROBLEMS,
    VERSION,
)
from services.predictor.open_inference.models import INFER, PREFIX, VERSIONS, Model, find
from services.predictor.open_inference.requests import infer
from services.predictor.open_inference.schemas import TensorMetadata
from services.predictor.open_inference.tensors import (
    CLASS,
    DATATYPES,
    INPUT,
    LABEL,
    PROBABILITIES,
    TASK,
    TASK_PROBABILITY,
)
from services.predictor.prediction import Prediction
from services.predictor.served import Served
from services.web.documentation import FAULT
from si_stream.errors import UnknownModel, UnknownTask

NAME = "si-stream"
EXTENSIONS = ["binary_tensor_data"]
OF_A_MODEL = f"{PREFIX}{{model:path}}"
OF_A_VERSION = f"{OF_A_MODEL}{VERSIONS}{{version}}"


def add_open_inference(
    app: FastAPI, follower: Follower, admission: Admission, prediction: Prediction
) -> None:
    @app.get("/v2", operation_id="server_metadata", responses=FAULT)
    @app.get("/v2/", include_in_schema=False)
    async def server_metadata() -> schemas.ServerMetadata:
        """The server's name and version, and the extensions of the protocol that it knows."""
        return schemas.ServerMetadata(
            name=NAME, version=version("si-stream"), extensions=EXTENSIONS
        )

    @app.get("/v2/health/live", operation_id="server_live", responses=FAULT)
    async def live() -> schemas.ServerLive:
        """The process answers."""
        return schemas.ServerLive()

    @app.get("/v2/health/ready", operation_id="server_ready", responses=NOT_READY)
    async def ready() -> schemas.ServerReady:
        """A snapshot is loaded: predictions can be asked for."""
        admission.check_open()
        follower.current()
        return schemas.ServerReady()

    for address, of, suffix in (
        (OF_A_VERSION, [MODEL, VERSION], "_version"),
        (OF_A_MODEL, [MODEL], ""),
    ):
        add_model(app, follower, admission, prediction, address, of, suffix)


def add_model(
    app: FastAPI,
    follower: Follower,
    admission: Admission,
    prediction: Prediction,
    address: str,
    of: list[dict[str, Any]],
    suffix: str,
) -> None:
    """The routes of a model, or of one of its versions; ``of`` are the parameters in its path."""

    @app.post(
        f"{address}{INFER}",
        operation_id=f"infer{suffix}",
        response_model=schemas.InferenceResponse,
        responses=INFERENCE_PROBLEMS,
        openapi_extra={"parameters": [*of, LENGTH, DEADLINE], **INFERENCE},
    )
    async def inference(request: Request) -> Response:
        """Predict the label of each input; without a task's name as `POST /predict` does."""
        reply = await prediction.reply(infer, request.scope, request.receive)
        return reply.response()

    @app.get(
        f"{address}/ready",
        operation_id=f"model_ready{suffix}",
        responses=MODEL_PROBLEMS,
        openapi_extra={"parameters": of},
    )
    async def model_ready(request: Request) -> schemas.ModelReady:
        """An inference request for it would be answered now."""
        admission.check_open()
        name = _address(request).removesuffix("/ready")
        return schemas.ModelReady(name=find(follower.current(), name).name)

    @app.get(
        address,
        operation_id=f"model_metadata{suffix}",
        responses=MODEL_PROBLEMS,
        openapi_extra={"parameters": of},
    )
    async def model_metadata(request: Request) -> schemas.ModelMetadata:
        """What it takes and gives, and the version that is served now."""
        served = follower.current()
        address = _address(request)
        try:
            return metadata(served, find(served, address))
        except UnknownModel:
            if address.endswith(INFER):
                raise HTTPException(405, headers={"Allow": "POST"}) from None
            raise


def _address(request: Request) -> str:
    path: str = request.scope["path"]
    return path.removeprefix(PREFIX)


def metadata(served: Served, model: Model) -> schemas.ModelMetadata:
    labels = -1 if served.model.labels == "open" else served.model.width
    outputs = [
        TensorMetadata(name=PROBABILITIES, datatype="FP32", shape=[-1, labels]),
        TensorMetadata(name=LABEL, datatype="INT64", shape=[-1]),
        TensorMetadata(name=CLASS, datatype="BYTES", shape=[-1]),
        TensorMetadata(name=TASK, datatype="BYTES", shape=[-1]),
    ]
    if model.task is None and _chooses(served):
        outputs.append(TensorMetadata(name=TASK_PROBABILITY, datatype="FP32", shape=[-1]))
    datatype, shape = DATATYPES[served.model.dtype], [-1, *served.model.input_shape]
    return schemas.ModelMetadata(
        name=model.name,
        versions=[str(served.version)],
        platform=NAME,
        inputs=[TensorMetadata(name=INPUT, datatype=datatype, shape=shape)],
        outputs=outputs,
    )


def _chooses(served: Served) -> bool:
    """Whether inputs without a task's name have each their own."""
    try:
        return served.task(None) is None
    except UnknownTask:
        return False
