"""An operator's boundary: a request becomes a message in the stream, and so has a position.

Invariant: it acts where it lies, like any other, and the same event id acts once.
"""

from __future__ import annotations

from uuid import uuid4

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from si_stream.brokers.interface import Broker
from si_stream.errors import (
    BrokerError,
    MalformedRequest,
    MessageError,
)
from si_stream.messages.codecs import encode
from si_stream.messages.kinds import Boundary
from si_stream.settings import Settings

SOURCE = "/si-stream/operator"
MAX_BODY_BYTES = 64 * 1024


class BoundaryRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    event_id: str = Field(default_factory=lambda: uuid4().hex, min_length=1)
    next_task: str | None = None


class BoundarySent(BaseModel):
    event_id: str
    offsets: dict[str, int] = Field(description="by the stream's partition, where its message is")


class BoundaryRequests:
    """Args:
    broker: gets the messages, one in each of the stream's partitions.

    Raises:
        SettingsError: the file with the token cannot be read.
    """

    def __init__(self, settings: Settings, broker: Broker) -> None:
        self.stream = settings.stream.name
        self.broker = broker

    def send(self, body: bytes) -> BoundarySent:
        """Put the boundary of a request into the stream.

        Raises:
            MalformedRequest: there is none in the body.
            BrokerError: it is not in all partitions.
        """
        try:
            asked = BoundaryRequest.model_validate(orjson.loads(body or b"{}"))
            boundary = Boundary(asked.event_id, asked.next_task)
            envelope = encode(boundary, source=SOURCE)
        except (orjson.JSONDecodeError, ValidationError, MessageError) as error:
            reason = str(error).splitlines()[0]
            raise MalformedRequest(
                f'{reason}; send {{}} or {{"event_id": "…", "next_task": "…"}}'
            ) from None
        try:
            offsets = {
                str(partition): self.broker.append(self.stream, partition, [envelope])[0]
                for partition in range(self.broker.partitions(self.stream))
            }
        except BrokerError as error:
            raise BrokerError(
                f"{error}; ask again with the same event_id, {asked.event_id!r}"
            ) from error
        return BoundarySent(event_id=asked.event_id, offsets=offsets)
