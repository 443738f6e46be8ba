"""The problems of a learner: what each error is to whoever asked."""

from __future__ import annotations

from services.web.problems import LATER, MALFORMED_REQUEST, TOO_LARGE, Kind, Kinds
from si_stream.errors import (
    BrokerError,
    Forbidden,
    InputTooLarge,
    MalformedRequest,
    Unauthorized,
)

KINDS: Kinds = {
    MalformedRequest: MALFORMED_REQUEST.like(
        'unexpected end of data; send {} or {"event_id": "…", "next_task": "…"}'
    ),
    Unauthorized: Kind(
        401,
        "unauthorized",
        "Who asks is not known",
        "send the header Authorization: Bearer TOKEN",
    ),
    Forbidden: Kind(
        403,
        "forbidden",
        "Nobody may",
        "nobody may ask for boundaries here; set learner.token or learner.token_file",
    ),
    InputTooLarge: TOO_LARGE.like(
        "a body of 70000 bytes is too large, the limit is 65536 bytes; send an event_id and the "
        "next task's name alone"
    ),
    BrokerError: Kind(
        503,
        "broker-away",
        "The broker does not take it",
        "no broker answers at kafka:9092; ask again with the same event_id, '8b7c5f54'",
        LATER,
    ),
}
