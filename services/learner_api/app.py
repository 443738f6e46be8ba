"""The learner's routes.

Invariant: a route does nothing that takes long on the event loop, and every one answers with what
its documentation says it may answer.
"""

from __future__ import annotations

from importlib.metadata import version

from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from prometheus_client.exposition import choose_encoder
from starlette.responses import PlainTextResponse, Response

from services.boundary_requests import MAX_BODY_BYTES, BoundaryRequest, BoundarySent
from services.learner_api import Told
from services.learner_api.journal import add_journal
from services.learner_api.locks import needs_token
from services.learner_api.problems import KINDS
from services.learner_api.snapshots import Snapshots, add_snapshots
from services.learner_status import LearnerStatus
from services.samples import Samples
from services.web.body import read_content
from services.web.daemon import in_daemon_thread
from services.web.documentation import FAULT, complete_openapi, document_doors, problem_responses
from services.web.problems import handle_problems
from services.web.sample_route import add_samples
from si_stream.errors import BrokerError, InputTooLarge, MalformedRequest
from si_stream.settings import Settings

DESCRIPTION = """\
How a learner is, what it has published, and what an operator asks of it. Whatever
cannot be answered is a problem (RFC 9457, `application/problem+json`).
"""
REFUSALS = (MalformedRequest, InputTooLarge, BrokerError)
ADVICE = "bytes; send an event_id and the next task's name alone"


def create_app(settings: Settings, told: Told) -> FastAPI:
    samples = Samples(settings.directory)
    app = FastAPI(
        title="SI Stream learner",
        version=version("si-stream"),
        description=DESCRIPTION,
        docs_url=None,  # a page that would load its scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )
    handle_problems(app, KINDS)

    @app.get("/health", operation_id="health", responses=FAULT)
    async def health() -> LearnerStatus:
        """Where learning is, and what it waits for."""
        return await run_in_threadpool(told.health)

    @app.get(
        "/metrics",
        operation_id="metrics",
        response_class=PlainTextResponse,
        responses={200: {"description": "Prometheus text exposition"}, **FAULT},
    )
    async def metrics(request: Request) -> Response:
        """The learner's metrics, as OpenMetrics where that is asked for."""
        encode, media_type = choose_encoder(request.headers.get("accept", ""))
        text = await run_in_threadpool(encode, told.registry)
        return Response(text, headers={"Content-Type": media_type})

    @app.post(
        "/boundaries",
        operation_id="ask_for_boundary",
        status_code=202,
        responses=problem_responses(KINDS[error] for error in REFUSALS),
        openapi_extra={
            "requestBody": {
                "content": {"application/json": {"schema": BoundaryRequest.model_json_schema()}}
            },
        },
    )
    async def ask_for_boundary(request: Request) -> BoundarySent:
        """End the active task where the stream ends now. The same event id acts once."""
        body = await read_content(request.scope, request.receive, MAX_BODY_BYTES, ADVICE)
        return await in_daemon_thread(lambda: told.boundaries.send(bytes(body)))

    def samples_of(name: str) -> bytes:
        return samples.of(told.task(name), settings.model)

    add_samples(app, samples_of, KINDS)
    add_snapshots(app, Snapshots(settings.directory))
    add_journal(app, settings.directory)
    complete_openapi(app)
    document_doors(app, needs_token)
    return app
