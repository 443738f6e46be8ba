"""A question: what a request for predictions comes down to, and the reply to it.

Invariant: whatever a request looked like, the same question gets the same answer, to the bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy.typing as npt
from starlette.responses import Response
from starlette.types import Scope

from services.predictor.body import Content, Headers
from services.predictor.served import Chosen, Named, Served, Way
from si_stream.checkpoints.snapshots import ServedTask
from si_stream.settings import PredictorOptions


class Reply(NamedTuple):
    headers: list[tuple[bytes, bytes]]
    body: bytes

    def response(self) -> Response:
        response = Response(self.body)
        response.raw_headers += self.headers
        return response


JSON_REPLY = [(b"content-type", b"application/json")]


class Question(NamedTuple):
    """Inputs, and whose head is to answer: None where each input has its own. ``choose`` says how
    a task was chosen that was not named; `write` makes the reply."""

    task: ServedTask | None
    choose: Way | None
    inputs: npt.NDArray[Any]
    write: Callable[[Named | Chosen], Reply]
    timeout_seconds: float = math.inf


Read = Callable[[Served, Content], Question]
Form = Callable[[PredictorOptions, Scope, Headers], Read]
"""What requests look like: from the head of one, to what reads its body. Both raise
RequestError; what the head alone can show is refused before the body is sent."""
