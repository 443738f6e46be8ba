"""The front of the predictor, which every request meets first.

It counts the request, lets a prediction go past the framework, whose layers would cost more than
the answer, and turns what nobody foresaw into a problem. Invariant: whatever is raised behind it,
the client gets an answer, and the process goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.predictor.listeners import EVENTS, Listeners
from services.predictor.metrics import UNKNOWN, Metrics
from services.predictor.open_inference.models import INFER, PREFIX
from services.predictor.open_inference.requests import infer
from services.predictor.predict import PATH, predict
from services.predictor.prediction import Prediction
from services.predictor.problems import ALL_KINDS, INFERENCE_KINDS
from services.predictor.question import Form
from services.web.problems import internal_error, refusal
from si_stream.errors import RequestError

SEND_SECONDS = 3.0
"""For one event to be taken by an open page: one that does not read holds a place for no longer."""


class Front:
    """An ASGI application around the one that has all the routes.

    Args:
        app: answers everything but predictions; their routes are there to be documented.
        listeners: whose answers last until they are told to end.

    Attributes:
        abort: ends the connection of a request at once; the server's, once there is one.
    """

    def __init__(
        self, app: ASGIApp, prediction: Prediction, metrics: Metrics, listeners: Listeners
    ) -> None:
        self.app = app
        self.prediction = prediction
        self.metrics = metrics
        self.listeners = listeners
        self.abort: Callable[[Scope], None] = lambda _scope: None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status = 0

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            if scope["path"] != EVENTS:
                await send(message)
                return
            watch = asyncio.get_running_loop().call_later(SEND_SECONDS, self.abort, scope)
            try:
                await send(message)
            finally:
                watch.cancel()

        self.metrics.in_flight += 1
        try:
            form = self._form(scope)
            if form is not None:
                status = await self._predict(form, scope, receive, send)
            else:
                await self.app(scope, receive, send_on)
        except ClientDisconnect:
            status = status or 499  # as proxies count it; nobody is there to read an answer
        except Exception as error:  # noqa: BLE001  whatever it is, it is logged and answered
            if not status:
                await internal_error(Request(scope), error)(scope, receive, send_on)
        finally:
            self.metrics.in_flight -= 1
            self.metrics.answered(_route(scope), status)

    def _form(self, scope: Scope) -> Form | None:
        """Of a request for predictions."""
        if scope["method"] != "POST":
            return None
        path: str = scope["path"]
        if path == PATH:
            return predict
        return infer if path.startswith(PREFIX) and path.endswith(INFER) else None

    async def _predict(self, form: Form, scope: Scope, receive: Receive, send: Send) -> int:
        try:
            reply = await self.prediction.reply(form, scope, receive)
        except RequestError as error:
            response = refusal(error, ALL_KINDS if form is predict else INFERENCE_KINDS)
            await response(scope, receive, send)
            return response.status_code
        length = str(len(reply.body)).encode()
        headers = [*reply.headers, (b"content-length", length)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": reply.body})
        return 200


def _route(scope: Scope) -> str:
    """As it is counted: one of the routes that there are, whatever a client asks for."""
    path: str = scope["path"]
    if path == PATH:
        return PATH
    route = scope.get("route")
    if route is not None:
        return str(route.path_format)
    is_inference = path.startswith(PREFIX) and path.endswith(INFER)
    return f"{PREFIX}{{model}}{INFER}" if is_inference else UNKNOWN
