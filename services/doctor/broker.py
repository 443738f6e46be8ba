"""The broker: whether it is reached, holds the stream, and holds what a checkpoint goes on from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from services.checkpointing import NEAR_RATIO, retention_margin
from services.doctor.finding import Finding, fail, ok, refused, warn
from services.doctor.wholeness import newest_whole
from services.positions import out_of_range
from services.quantities import megabytes
from si_stream.brokers import open_broker
from si_stream.brokers.embedded import EmbeddedBroker
from si_stream.brokers.interface import Broker, Watermarks, offsets
from si_stream.checkpoints.store import CheckpointStore, Manifest
from si_stream.dead_letters import stream_of_letters
from si_stream.errors import SIStreamError, StreamNotFound
from si_stream.settings import Settings, masked

PATIENCE_SECONDS = 5.0
EMBEDDED = "embedded:"
MOVE = (
    "--set stream.out_of_range=earliest or latest, or si-stream rollback to another checkpoint "
    "(docs/operations.md, A position that is not there)"
)


def look(settings: Settings) -> Iterator[Finding]:
    manifest = newest_whole(settings.directory)
    url = settings.stream.broker
    file = embedded_file(url)
    if file is not None and not file.exists():
        about = "broker: reach"
        if manifest is None:
            yield ok(about, f"{file} is not there yet; the first learner or sender makes it")
        else:
            yield fail(
                about,
                f"{file} is not there, and a checkpoint of {settings.directory} goes on from it",
                "put it back from the backup, or name the broker that the model learns from",
            )
        return
    try:
        broker = opened(settings)
    except SIStreamError as error:
        yield refused("broker: reach", error)
        return
    with broker:
        yield ok("broker: reach", masked(url) + login_of(settings))
        try:
            yield from of_stream(broker, settings, manifest)
        except SIStreamError as error:
            yield refused("broker: stream", error)


def opened(settings: Settings) -> Broker:
    """The broker, asked with little patience, and not made where it is a file."""
    if (file := embedded_file(settings.stream.broker)) is not None:
        return EmbeddedBroker(file, read_only=True)
    patience = min(PATIENCE_SECONDS, settings.kafka.connect_timeout_seconds)
    hasty = settings.kafka.model_copy(update={"connect_timeout_seconds": patience})
    return open_broker(settings.stream.broker, hasty)


def embedded_file(url: str) -> Path | None:
    """
    >>> embedded_file("embedded:a/b.sqlite"), embedded_file("kafka://one:9092")
    (PosixPath('a/b.sqlite'), None)
    """
    path = url.removeprefix(EMBEDDED)
    return Path(path) if url.startswith(EMBEDDED) and path and path[:2] != "//" else None


def login_of(settings: Settings) -> str:
    kafka = settings.kafka
    if kafka.username is None or not settings.stream.broker.startswith("kafka:"):
        return ""
    return f", which lets user {kafka.username} in by {kafka.security_protocol}"


def of_stream(broker: Broker, settings: Settings, manifest: Manifest | None) -> Iterator[Finding]:
    """Raises:
    BrokerError: it does not answer any more.
    """
    name = settings.stream.name
    try:
        stream_id = broker.stream_id(name)
    except StreamNotFound:
        seen = f"there is no stream {name!r}"
        make = "`si-stream topics create` makes it"
        if manifest is not None:
            yield fail("broker: stream", f"{seen}, which the checkpoint was learned from", make)
        else:
            yield warn("broker: stream", f"{seen} yet", f"{make}, as the first learner does")
        return
    bounds = {n: broker.watermarks(name, n) for n in range(broker.partitions(name))}
    held = ", ".join(f"{n}: {low:,} to {high:,}" for n, (low, high) in bounds.items())
    yield ok("broker: stream", f"{name!r}, offsets by partition {held}")
    empty = [n for n, (_, high) in bounds.items() if high == 0]
    if empty and len(empty) < len(bounds) and settings.stream.merge == "in-turn":
        yield warn(
            "broker: partitions",
            f"no message has ever come to {empty} of {len(bounds)}: the others wait for it",
            "start their senders; stream.merge=arrival gives up bit-identity instead",
        )
    else:
        yield ok("broker: partitions", f"{len(bounds)}, merged {settings.stream.merge}")
    yield from of_sizes(broker, settings)
    if manifest is not None:
        yield of_position(settings, manifest, stream_id, bounds)
        if not broker.keeps_all:
            yield of_retention(settings, bounds)


def of_sizes(broker: Broker, settings: Settings) -> Iterator[Finding]:
    """Whether messages that a sender may send are read, and kept where they are bad."""
    about, limit = "broker: message size", settings.stream.max_message_bytes
    name = settings.stream.name
    takes = broker.max_message_bytes(name)
    if takes is None:
        yield ok(about, f"no limit is known but the learner's, {megabytes(limit)}")
        return
    if takes < limit / 2:
        yield warn(
            about,
            f"the topic takes {megabytes(takes)}, the learner {megabytes(limit)}",
            "raise the topic's max.message.bytes, or lower stream.max_message_bytes",
        )
    else:
        yield ok(about, f"the topic takes {megabytes(takes)}, the learner {megabytes(limit)}")
    letters = stream_of_letters(name)
    try:
        room = broker.max_message_bytes(letters) if broker.partitions(letters) else None
    except StreamNotFound:
        yield ok("broker: dead letters", f"no stream {letters!r} yet; a learner makes it")
        return
    if room is not None and room < takes:
        yield warn(
            "broker: dead letters",
            f"{letters!r} takes {megabytes(room)}, less than the {megabytes(takes)} of the stream: "
            "of a bad message between the two there is a letter without the message",
            f"raise max.message.bytes of {letters!r}",
        )
    else:
        yield ok("broker: dead letters", f"{letters!r} takes what the stream takes")


def of_position(
    settings: Settings, manifest: Manifest, stream_id: str, bounds: Mapping[int, Watermarks]
) -> Finding:
    about, place = "broker: position", manifest.ledger.position
    if manifest.identity.stream_id != stream_id:
        was = manifest.identity.stream_id
        problems = [f"the checkpoint is of a stream with the id {was}, this one has {stream_id}"]
    else:
        problems = [
            f"partition {partition} is not there any more"
            if partition not in bounds
            else f"partition {partition}: {misfit}"
            for partition, at in place.items()
            if partition not in bounds or (misfit := out_of_range(at, *bounds[partition]))
        ]
    if not problems:
        return ok(about, f"the stream holds the newest checkpoint's, {offsets(place)}")
    if settings.stream.out_of_range == "fail":
        return fail(about, "; ".join(problems), MOVE)
    moved = f"a learner goes on with the {settings.stream.out_of_range} message"
    return warn(about, "; ".join(problems), f"{moved}, as stream.out_of_range says")


def of_retention(settings: Settings, bounds: Mapping[int, Watermarks]) -> Finding:
    about = "broker: retention"
    oldest = CheckpointStore(settings.directory).oldest_position(settings.checkpoints.keep)
    margins = {
        n: retention_margin(place.offset, *bounds[n]) for n, place in oldest.items() if n in bounds
    }
    if not margins:
        return ok(about, "nothing is needed yet")
    nearest = min(margins, key=lambda n: margins[n])
    seen = (
        f"the oldest checkpoint to go back to stands at {offsets(oldest)}; {margins[nearest]:.0%} "
        f"of what is kept of partition {nearest} lies before it"
    )
    if margins[nearest] < NEAR_RATIO:
        return warn(about, seen, "raise the topic's retention, or the learner falls out of it")
    return ok(about, seen)
