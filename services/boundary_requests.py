"""An operator's boundary: a request becomes a message in the stream, and so has a position.

Invariant: it acts where it lies, like any other, and the same event id acts once.
"""

from __future__ import annotations

import hmac
from uuid import uuid4

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from si_stream.brokers.interface import Broker
from si_stream.errors import (
    BrokerError,
    Forbidden,
    MalformedRequest,
    MessageError,
    SettingsError,
    Unauthorized,
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
        self._token = token_of(settings)

    def admit(self, authorization: str | None) -> None:
        """Let whoever has the token pass.

        Raises:
            Forbidden: there is none.
            Unauthorized: it is another one.
        """
        if self._token is None:
            raise Forbidden(
                "nobody may ask for boundaries here; set learner.token or learner.token_file"
            )
        expected, given = f"Bearer {self._token}", authorization or ""
        if not hmac.compare_digest(expected.encode(), given.encode()):
            raise Unauthorized("send the header Authorization: Bearer TOKEN")

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


def token_of(settings: Settings) -> str | None:
    """Raises:
    SettingsError: the file cannot be read, or is empty.
    """
    options = settings.learner
    if options.token is not None:
        return options.token.get_secret_value()
    if options.token_file is None:
        return None
    try:
        token = options.token_file.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"learner.token_file: {options.token_file} cannot be read: {error}"
        ) from None
    if not token:
        raise SettingsError(f"learner.token_file: {options.token_file} is empty; put a token in it")
    return token
