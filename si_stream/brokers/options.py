"""What a person may choose about the stream; plain values."""

from __future__ import annotations

from pydantic import Field

from si_stream.learning.options import Options


class StreamOptions(Options):
    """The stream that is learned from, and where it lies."""

    broker: str = Field(
        "embedded:si-stream-data/broker.sqlite",
        min_length=1,
        description="URL of the broker: embedded:PATH is a durable log in one file and needs no "
        "server; unless chosen it lies in the directory of the model",
    )
    name: str = Field(
        "samples",
        max_length=249,
        pattern=r"^[A-Za-z0-9._-]+$",
        description="of the stream; letters and length that every broker takes",
    )
    max_message_bytes: int = Field(
        10 * 1024 * 1024,
        ge=1024,
        description="a larger message is rejected; 10 MiB are some 3,400 colour images of "
        "32 × 32 pixels, far more than speed needs",
    )
