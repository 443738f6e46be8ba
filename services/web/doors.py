"""The doors of an application: who may come in, and how often.

Invariant: what is not said to be open is locked as soon as there is a token. A request that is
refused has reached nothing behind the doors, and its body is not read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.web import security_headers
from services.web.problems import FORBIDDEN, TOO_MANY_REQUESTS, UNAUTHORIZED, problem
from services.web.rates import Rates
from services.web.tokens import Tokens

Locks = Callable[[str, str], Sequence[Tokens] | None]
"""By method and path, those that open it; None where it is open to all. Where all of them are
without any, it is shut."""


class Doors:
    """An ASGI application around another one.

    Args:
        app: behind them.
        rates: None: as often as they like.
        unlimited: paths that probes ask for from an address that they share with others.
        refused: told the status of each refusal.
    """

    def __init__(
        self,
        app: ASGIApp,
        locks: Locks,
        rates: Rates | None = None,
        unlimited: Collection[str] = (),
        refused: Callable[[int], None] = lambda _status: None,
    ) -> None:
        self._app = app
        self._locks = locks
        self._rates = rates
        self._unlimited = unlimited
        self._refused = refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_on(message: Message) -> None:
            if message["type"] == "http.response.start":
                security_headers.complete(message)
            await send(message)

        refusal = self._refusal(scope)
        if refusal is not None:
            self._refused(refusal.status_code)
        await (self._app if refusal is None else refusal)(scope, receive, send_on)

    def _refusal(self, scope: Scope) -> Response | None:
        tokens = self._locks(scope["method"], scope["path"])
        if self._rates is not None and scope["path"] not in self._unlimited:
            client = scope.get("client") or ("",)
            if seconds := self._rates.seconds_to_wait(client[0]):
                return _too_many(self._rates, seconds)
        return None if tokens is None else _locked_out(tokens, scope)


def _too_many(rates: Rates, seconds: float) -> Response:
    return problem(
        TOO_MANY_REQUESTS,
        f"more than {rates.per_second:g} requests a second come from this address; ask again in "
        f"{seconds:.3g} s",
        headers={"Retry-After": str(math.ceil(seconds))},
    )


def _locked_out(tokens: Sequence[Tokens], scope: Scope) -> Response | None:
    if not any(tokens):
        setting = tokens[0].setting
        return problem(FORBIDDEN, f"nobody may ask for this here; set {setting} or {setting}_file")
    given = [value for name, value in scope["headers"] if name == b"authorization"]
    if len(given) == 1 and sum([one.open_to(given[0]) for one in tokens]):
        return None
    return problem(
        UNAUTHORIZED,
        f"{'what was sent is not its token' if given else 'no token was sent'}; send the header "
        "Authorization: Bearer TOKEN",
        headers={"WWW-Authenticate": "Bearer"},
    )
