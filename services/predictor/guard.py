"""The guard around all routes: counts every request, and answers for what nobody foresaw."""

from __future__ import annotations

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.predictor.metrics import UNKNOWN, Metrics
from services.predictor.problems import internal_error


class Guard:
    """Middleware of plain ASGI: it costs two calls, and passes bodies on untouched."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status = 0

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        metrics = self.metrics
        metrics.in_flight += 1
        try:
            await self.app(scope, receive, send_on)
        except Exception as error:
            if status:  # half an answer is out: nothing can be added, the connection is cut
                raise
            response = internal_error(Request(scope), error)
            await response(scope, receive, send_on)
        finally:
            metrics.in_flight -= 1
            route = scope.get("route")
            metrics.answered(route.path if route else UNKNOWN, status)
