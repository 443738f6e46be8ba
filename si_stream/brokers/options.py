"""What a person may choose about the stream; plain values."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator

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
    merge: Literal["in-turn", "arrival"] = Field(
        "in-turn",
        description="of several partitions: in-turn takes a message of each in turn and waits for "
        "one that is empty, so the same stream gives the same weights; arrival waits for none, and "
        "gives that up",
    )
    retention: Literal["checkpoints", "all"] = Field(
        "checkpoints",
        description="of the embedded log: checkpoints forgets what lies before the oldest of the "
        "newest checkpoints; all keeps everything, for another model to be learned from it. Kafka "
        "has its own",
    )
    out_of_range: Literal["fail", "earliest", "latest"] = Field(
        "fail",
        description="where a checkpoint's position is no longer, or not yet, in the stream, or the "
        "stream was made anew: fail refuses to start; earliest goes on with the oldest message "
        "there is, latest with the next one",
    )
    max_message_bytes: int = Field(
        10 * 1024 * 1024,
        ge=1024,
        description="a larger message is rejected; 10 MiB are some 3,400 colour images of "
        "32 × 32 pixels, far more than speed needs",
    )


class KafkaOptions(Options):
    """How to talk to Kafka, where the stream's broker is kafka://HOST:PORT."""

    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="of the broker's listener: SSL is TLS, SASL asks for a login"
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "PLAIN", description="of the login; PLAIN is fit for TLS alone, where nobody listens in"
    )
    username: str | None = Field(None, min_length=1, description="of the login")
    password: SecretStr | None = Field(None, description="of the login; never shown")
    password_file: Path | None = Field(
        None, description="holds the password instead, as orchestrators mount secrets"
    )
    ca_file: Path | None = Field(
        None,
        description="PEM certificates of the authorities to trust for TLS; this system's own "
        "unless set",
    )
    certificate_file: Path | None = Field(
        None, description="PEM certificate to show to a broker that asks clients for one"
    )
    key_file: Path | None = Field(
        None, description="PEM key of that certificate, if it is not in the same file"
    )
    connect_timeout_seconds: float = Field(
        10.0,
        gt=0,
        allow_inf_nan=False,
        description="how long to try before giving up, at the start and at each question to the "
        "broker; long enough for one that starts at the same time",
    )
    request_timeout_seconds: float = Field(
        30.0,
        ge=1,
        le=300,
        description="until a connection without answer is made anew; Kafka's own default",
    )
    delivery_timeout_seconds: float = Field(
        120.0,
        gt=0,
        allow_inf_nan=False,
        description="until an append gives up while the broker is away; Kafka's own default, "
        "longer than a restart of a broker takes",
    )
    compression: Literal["none", "gzip"] = Field(
        "none", description="of what is appended; gzip costs more time than most networks save"
    )
    replication_factor: int | None = Field(
        None, ge=1, description="of streams that are created; the broker's own default unless set"
    )
    min_insync_replicas: int | None = Field(
        None,
        ge=1,
        description="of streams that are created: replicas that must have an append before it "
        "counts; 2 with a replication factor of 3. The broker's own default unless set",
    )
    retention_hours: float = Field(
        168.0,
        gt=0,
        allow_inf_nan=False,
        description="of streams that are created; a week, as is Kafka's default. Longer than the "
        "oldest checkpoint that you may have to go back to",
    )
    group: str = Field(
        "si-stream",
        min_length=1,
        description="under which tools for consumer lag see the learner; nothing is resumed by it",
    )

    @model_validator(mode="after")
    def _settings_agree(self) -> Self:
        if self.delivery_timeout_seconds < self.request_timeout_seconds + 2:
            raise ValueError(
                f"delivery_timeout_seconds {self.delivery_timeout_seconds} must be 2 s longer than "
                f"request_timeout_seconds {self.request_timeout_seconds} at least"
            )
        if self.password is not None and self.password_file is not None:
            raise ValueError("password and password_file are both set; keep one")
        given = self.username is not None, bool(self.password or self.password_file)
        wanted = self.security_protocol.startswith("SASL")
        if given != (wanted, wanted):
            needs = "needs" if wanted else "takes no"
            raise ValueError(
                f"security_protocol {self.security_protocol} {needs} username and password "
                "(or password_file)"
            )
        return self
