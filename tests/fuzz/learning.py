"""Hostile messages through a log on disk into the learner's loop, and what came of each.

Invariant: expectations are made before anything is learned and held as counts and digests, so that
the memory that grows meanwhile is the loop's own.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections import Counter
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from random import Random
from typing import NamedTuple

from si_stream import events
from si_stream.batches import Batch
from si_stream.brokers.embedded import EmbeddedBroker
from si_stream.brokers.interface import Envelope
from si_stream.dead_letters import DeadLetters, Fault, read_letters
from si_stream.loop import Host, learn_stream
from si_stream.messages.codecs import encode
from si_stream.messages.kinds import End
from si_stream.state import State
from si_stream.tracks import MAIN, Track
from tests.fuzz.hostile import MAX_BYTES, SCHEMA, messages
from tests.streams import STREAM, settings

CHUNK_BYTES = 4 * 1024 * 1024
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
WARM_SHARE = 0.2  # of the faults, after which every part has been used and memory must be flat


class Result(NamedTuple):
    """What was sent, what became of it, and the resident memory (bytes) while it did."""

    hostile_messages: int
    good_messages: int
    dead_letters: int
    dead_letters_by_reason: dict[str, int]
    trained_samples: int
    rss_warm_bytes: int
    rss_end_bytes: int
    learning_seconds: float


class Sent:
    """What was sent, and what must come of it.

    Attributes:
        trained: a digest of every row to train on, in order.
        letters: one of every letter's place and reason, in order.
    """

    def __init__(self) -> None:
        self.hostile = self.good = self.samples = self.faults = 0
        self.trained = hashlib.sha256()
        self.letters = hashlib.sha256()
        self.original = hashlib.sha256()


def send(broker: EmbeddedBroker, random: Random, hostile: int) -> Sent:
    sent, chunk, size_bytes = Sent(), list[Envelope](), 0
    for offset, one in enumerate(messages(random, hostile)):
        sent.hostile += one.hostile
        sent.good += not one.hostile
        sent.samples += len(one.labels)
        sent.faults += len(one.letters)
        for row, label in zip(one.inputs, one.labels, strict=True):
            sent.trained.update(row.tobytes() + label.tobytes())
        for number, reason in one.letters:
            sent.letters.update(f"{offset} {number} {reason}\n".encode())
            if number is None:
                sent.original.update(fingerprint(one.envelope))
        chunk.append(one.envelope)
        size_bytes += len(one.envelope.value)
        if size_bytes > CHUNK_BYTES:
            broker.append(STREAM, 0, chunk)
            chunk, size_bytes = [], 0
    broker.append(STREAM, 0, [*chunk, encode(End("end"), source="/fuzz")])
    return sent


def fingerprint(envelope: Envelope) -> bytes:
    return repr((sorted(envelope.headers.items()), envelope.value)).encode(errors="surrogatepass")


class DigestingTrack(Track):
    """Keeps a digest of every row that it is told to train on."""

    def __init__(self, track: Track) -> None:
        super().__init__(MAIN, track.learner)
        self.trained = hashlib.sha256()

    def learn(self, batch: Batch) -> bool:
        for row, label in zip(batch.inputs.numpy(), batch.labels.numpy(), strict=True):
            self.trained.update(row.tobytes() + label.tobytes())
        return super().learn(batch)


class LetterWritingHost(Host):
    """Writes letters and watches the memory of its process; keeps nothing else."""

    def __init__(self, letters: DeadLetters, faults: int) -> None:
        self.letters = letters
        self.warm_at = int(faults * WARM_SHARE)
        self.faults = 0
        self.rss_warm_bytes = 0

    def emit(self, event: events.Event) -> None:
        pass

    def set_aside(self, fault: Fault) -> None:
        self.letters.add(fault, time.time())
        self.faults += 1
        if self.faults == self.warm_at:
            self.rss_warm_bytes = resident_bytes()

    def in_flight(self, batch: Batch) -> AbstractContextManager[None]:
        return nullcontext()

    def stopping(self) -> bool:
        return False

    def ends(self) -> None:
        return None

    def between_batches(self, state: State) -> None:
        pass

    def checkpoint(self, state: State) -> None:
        self.letters.flush(self.letters.seal())

    def publish(self, state: State) -> None:
        pass


def resident_bytes(process: int | str = "self") -> int:
    pages = Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * PAGE_BYTES


def attack(directory: Path, hostile: int, seed: int) -> Result:
    """Send, learn and compare.

    Raises:
        AssertionError: a row was trained on that must not be, or otherwise than once; or a letter
            is missing, double, or tells another place, reason or message.
    """
    chosen = settings(
        directory,
        model={"dtype": SCHEMA.dtype, "input_shape": SCHEMA.input_shape, "outputs": SCHEMA.outputs},
        stream={"max_message_bytes": MAX_BYTES},
    )
    with EmbeddedBroker(directory / "broker.sqlite") as broker:
        broker.create_stream(STREAM)
        sent = send(broker, Random(seed), hostile)
        state = State(chosen, broker.stream_id(STREAM))
        state.tracks[0] = track = DigestingTrack(state.main)
        host = LetterWritingHost(DeadLetters(broker, STREAM, MAX_BYTES), sent.faults)
        started = time.perf_counter()
        with broker.reader(STREAM, {}) as reader:
            learn_stream(reader, state, host, until_end=True)
        seconds = time.perf_counter() - started
        rss_end_bytes = resident_bytes()
        by_reason = check_letters(broker, sent)
    assert state.ledger.samples == sent.samples
    assert track.trained.digest() == sent.trained.digest(), "other rows than the good ones"
    return Result(
        hostile_messages=sent.hostile,
        good_messages=sent.good,
        dead_letters=sum(by_reason.values()),
        dead_letters_by_reason=dict(sorted(by_reason.items())),
        trained_samples=sent.samples,
        rss_warm_bytes=host.rss_warm_bytes,
        rss_end_bytes=rss_end_bytes,
        learning_seconds=round(seconds, 1),
    )


def check_letters(broker: EmbeddedBroker, sent: Sent) -> Counter[str]:
    found, originals = hashlib.sha256(), hashlib.sha256()
    by_reason: Counter[str] = Counter()
    for _, letter in read_letters(broker, STREAM):
        found.update(f"{letter.offset} {letter.row} {letter.reason}\n".encode())
        by_reason[letter.reason] += 1
        if letter.row is None:
            originals.update(fingerprint(letter.message))
    assert sum(by_reason.values()) == sent.faults
    assert found.digest() == sent.letters.digest(), "other places or reasons than those expected"
    assert originals.digest() == sent.original.digest(), "a letter does not hold its message"
    return by_reason
