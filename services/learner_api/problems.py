"""The problems of a learner: what each error is to whoever asked."""

from __future__ import annotations

from services.web.problems import (
    LATER,
    MALFORMED_REQUEST,
    NO_SNAPSHOT,
    TOO_LARGE,
    UNKNOWN_TASK,
    Kind,
    Kinds,
)
from si_stream.errors import (
    BrokerError,
    Gone,
    InputTooLarge,
    MalformedRequest,
    NoSnapshotYet,
    NothingThere,
    UnknownTask,
)

KINDS: Kinds = {
    MalformedRequest: MALFORMED_REQUEST.like(
        'unexpected end of data; send {} or {"event_id": "…", "next_task": "…"}'
    ),
    InputTooLarge: TOO_LARGE.like(
        "a body of 70000 bytes is too large, the limit is 65536 bytes; send an event_id and the "
        "next task's name alone"
    ),
    UnknownTask: UNKNOWN_TASK.like("task 'digits-8-9' is not known; the tasks known: digits-0-1"),
    NothingThere: Kind(
        404, "nothing-there", "There is nothing there", "there is no events.jsonl yet"
    ),
    Gone: Kind(
        410,
        "gone",
        "It is not there any more",
        "snapshot 000000000017-….safetensors of epoch 000001 has been removed, as newer ones have "
        "come; ask for /snapshots/newest",
    ),
    NoSnapshotYet: NO_SNAPSHOT.like(
        "no snapshot has been published yet; the first one comes within seconds of the first "
        "samples: ask again then"
    ),
    BrokerError: Kind(
        503,
        "broker-away",
        "The broker does not take it",
        "no broker answers at kafka:9092; ask again with the same event_id, '8b7c5f54'",
        LATER,
    ),
}
