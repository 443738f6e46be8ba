"""The predictor's routes.

Invariant: every route answers with what `documentation` says it may answer.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import PlainTextResponse, Response

from services.predictor import answers
from services.predictor.admission import Admission
from services.predictor.board import Board
from services.predictor.documentation import (
    DESCRIPTION,
    NO_SNAPSHOT,
    NOT_READY,
    PREDICTION_PROBLEMS,
    PREDICTION_REQUEST,
)
from services.predictor.follower import Follower
from services.predictor.front import Front
from services.predictor.listeners import Listeners
from services.predictor.locks import is_open
from services.predictor.metrics import Metrics
from services.predictor.mirror.mirror import Mirror
from services.predictor.mirror.samples import SamplesElsewhere
from services.predictor.mirror.source import Source, of_directory
from services.predictor.open_inference.documentation import REQUEST_SCHEMAS
from services.predictor.open_inference.routes import add_open_inference
from services.predictor.page import add_page
from services.predictor.predict import PATH
from services.predictor.predict import predict as asked_plainly
from services.predictor.prediction import Prediction
from services.predictor.problems import ALL_KINDS
from services.samples import Samples
from services.web.documentation import FAULT, complete_openapi, document_doors
from services.web.problems import handle_problems
from services.web.sample_route import add_samples
from si_stream.settings import PredictorOptions


def create_app(options: PredictorOptions, directory: Path, own_module: str | None = None) -> Front:
    """The application; from its start-up to its shutdown it follows its source.

    Args:
        directory: of the model, or of the copy of one whose learner is followed by its URL.
    """
    mirror = None
    if options.source_url is not None:
        mirror = Mirror(options, directory, watched=lambda: listeners.count > 0)
    elif options.source is not None:
        directory = Path(options.source)
    follower = Follower(directory, options.poll_interval_seconds, options.threads, own_module)
    admission = Admission(options.max_waiting)
    metrics = Metrics(follower, admission, mirror)
    prediction = Prediction(options, follower, admission, metrics)
    listeners = Listeners(Board(directory, follower))
    samples = SamplesElsewhere(mirror.learner) if mirror else Samples(directory)

    def samples_of(name: str) -> bytes:
        served = follower.current()
        task = served.task(name)
        assert task is not None  # it has a name
        return samples.of(task, served.model)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        follower.start()
        if mirror is not None:
            mirror.start()
        yield
        await listeners.closed()
        if mirror is not None:
            await run_in_threadpool(mirror.stop)
        follower.stop()
        prediction.close()

    app = FastAPI(
        title="SI Stream predictor",
        version=version("si-stream"),
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,  # a page that would load its scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )
    handle_problems(app, ALL_KINDS)

    @app.post(
        PATH,
        operation_id="predict",
        response_model=answers.Predictions
        | answers.PredictionColumns
        | answers.ChosenPredictions
        | answers.ChosenColumns,
        response_description="`Predictions` for JSON, `PredictionColumns` for raw rows; where no "
        "task is named and each input has its own, `ChosenPredictions` and `ChosenColumns`",
        responses=PREDICTION_PROBLEMS,
        openapi_extra=PREDICTION_REQUEST,
    )
    async def predict(request: Request) -> Response:
        """Predict the label of each input, with the head of the task named or chosen for it."""
        reply = await prediction.reply(asked_plainly, request.scope, request.receive)
        return reply.response()

    add_readings(app, follower, admission, metrics)
    add_open_inference(app, follower, admission, prediction)
    add_source(app, mirror)
    add_page(app, listeners)
    add_samples(app, samples_of, ALL_KINDS)
    complete_openapi(app, REQUEST_SCHEMAS)
    document_doors(app, lambda _method, path: False if is_open(path) else None)
    return Front(app, prediction, metrics, listeners)


def add_source(app: FastAPI, mirror: Mirror | None) -> None:
    @app.get("/source", operation_id="source", responses=FAULT)
    async def source() -> Source:
        """What is followed: where the snapshots come from, and whether they can be had."""
        return mirror.source() if mirror is not None else of_directory()


def add_readings(app: FastAPI, follower: Follower, admission: Admission, metrics: Metrics) -> None:
    """What can be read: the tasks, how well each is known, and how the predictor fares."""

    @app.get("/tasks", operation_id="tasks", responses=NO_SNAPSHOT)
    async def tasks() -> answers.TaskList:
        """What the model takes, and the tasks that predictions can be asked for."""
        return answers.task_list(follower.current())

    @app.get("/accuracy-matrix", operation_id="accuracy_matrix", responses=NO_SNAPSHOT)
    async def accuracy_matrix() -> answers.AccuracyMatrices:
        """What the model still knows of every task, and what it has forgotten."""
        return answers.accuracy_matrices(follower.current())

    @app.get("/healthz/live", operation_id="live", responses=FAULT)
    async def live() -> answers.Liveness:
        """The process answers; whether it has a model or a learner does not matter here."""
        return answers.Liveness()

    @app.get("/healthz/ready", operation_id="ready", responses=NOT_READY)
    async def ready() -> answers.Readiness:
        """A snapshot is loaded: predictions can be asked for."""
        admission.check_open()
        return answers.Readiness(version=answers.version_of(follower.current()))

    @app.get(
        "/metrics",
        operation_id="metrics",
        response_class=PlainTextResponse,
        responses={200: {"description": "Prometheus text exposition"}, **FAULT},
    )
    async def exposition() -> Response:
        """The predictor's metrics."""
        return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)
