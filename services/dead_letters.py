"""Messages that could not be learned from: list them, look at one, send them again."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager

from si_stream.brokers import open_broker
from si_stream.brokers.interface import Broker
from si_stream.dead_letters import Letter, read_letters
from si_stream.errors import BrokerError, StreamNotFound
from si_stream.resubmissions import mark, marked
from si_stream.settings import Settings

MARK_EVERY = 100


def list_letters(settings: Settings, reason: str | None) -> None:
    """One line a letter: its id, where it came from, what is wrong, and when it was sent again."""
    found = False
    with _opened(settings) as broker:
        resubmitted = marked(broker, settings.stream.name)
        for offset, letter in _letters(broker, settings, reason):
            found = True
            place = f"{letter.partition}/{letter.offset}"
            row = "" if letter.row is None else f" row {letter.row}"
            sent = f"  sent again {resubmitted[offset]}" if offset in resubmitted else ""
            print(f"{letter.letter_id}  {letter.time}  at {place}{row}  {letter.reason}{sent}")
            print(f"    {letter.detail}")
            if (left_out := _left_out(letter)) is not None:
                print(f"    {left_out}")
    if not found:
        which = f" of reason {reason}" if reason else ""
        print(f"stream {settings.stream.name!r} has no dead letters{which}", file=sys.stderr)


def show_letter(settings: Settings, letter_id: str) -> None:
    """All of a letter's headers on stderr, and the message's own bytes, if kept, on stdout."""
    with _opened(settings) as broker:
        resubmitted = marked(broker, settings.stream.name)
        offset, letter = _chosen(broker, settings, {letter_id})[0]
    print(
        json.dumps(
            {
                "id": letter.letter_id,
                "partition": letter.partition,
                "offset": letter.offset,
                "row": letter.row,
                "reason": letter.reason,
                "detail": letter.detail,
                "time": letter.time,
                "headers": dict(letter.message.headers),
                "bytes": len(letter.message.value),
                "left_out": _left_out(letter),
                "sent_again": resubmitted.get(offset),
            },
            indent=2,
        ),
        file=sys.stderr,
    )
    sys.stdout.buffer.write(letter.message.value)
    sys.stdout.buffer.flush()


def resubmit_letters(
    settings: Settings, ids: Collection[str], reason: str | None, *, again: bool = False
) -> None:
    """Send the messages to the end of the stream again, each to the partition that it came from.

    What was sent is marked, some at a time, and passed over from then on. Each is sent at least
    once: where nothing could be marked any more, as after a kill, up to `MARK_EVERY` are sent anew.

    Args:
        again: pass over none.

    Raises:
        BrokerError: one of the ids is no letter's, and none was sent; or the broker took no more.
    """
    stream = settings.stream.name
    sent, unsent, passed_over = 0, 0, 0
    unmarked: list[int] = []
    with _opened(settings):
        pass  # else a log would be made where there is none
    with _opened(settings, to_write=True) as broker:
        resubmitted = {} if again else marked(broker, stream)
        letters: Iterable[tuple[int, Letter]] = (
            _chosen(broker, settings, ids) if ids else _letters(broker, settings, reason)
        )
        try:
            for offset, letter in letters:
                if offset in resubmitted:
                    passed_over += 1
                    continue
                if (left_out := _left_out(letter)) is not None:
                    unsent += 1
                    print(f"not sent: {letter.letter_id}: {left_out}")
                    continue
                broker.append(stream, letter.partition, [letter.message])
                sent += 1
                unmarked.append(offset)
                print(f"sent again: {letter.letter_id}")
                if len(unmarked) == MARK_EVERY:
                    mark(broker, stream, unmarked, time.time())
                    unmarked.clear()
        finally:
            if unmarked:
                mark(broker, stream, unmarked, time.time())
    print(f"{sent} of the messages are on stream {stream!r} again")
    if unsent:
        print(f"{unsent} were not sent, since their letters do not hold them")
    if passed_over:
        print(
            f"{passed_over} were passed over, since they were sent again before; --again sends them"
        )


def _left_out(letter: Letter) -> str | None:
    """Of a letter without its message: where that is."""
    if letter.left_out_bytes is None:
        return None
    return (
        "the message is not here, since it was too large for the stream of letters (a payload of "
        f"{letter.left_out_bytes:,} bytes); it lies at offset {letter.offset} of partition "
        f"{letter.partition}, as long as the stream keeps it"
    )


@contextmanager
def _opened(settings: Settings, *, to_write: bool = False) -> Iterator[Broker]:
    with open_broker(settings.stream.broker, settings.kafka, read_only=not to_write) as broker:
        try:
            yield broker
        except StreamNotFound as error:
            raise StreamNotFound(
                f"stream {settings.stream.name!r} has no dead letters, and no place for them, "
                "which a learner makes when it starts; check --stream and --broker"
            ) from error


def _letters(
    broker: Broker, settings: Settings, reason: str | None
) -> Iterator[tuple[int, Letter]]:
    for offset, letter in read_letters(broker, settings.stream.name):
        if reason in (None, letter.reason):
            yield offset, letter


def _chosen(broker: Broker, settings: Settings, ids: Collection[str]) -> list[tuple[int, Letter]]:
    found = [pair for pair in _letters(broker, settings, None) if pair[1].letter_id in ids]
    missing = set(ids) - {letter.letter_id for _, letter in found}
    if missing:
        raise BrokerError(
            f"no dead letter of stream {settings.stream.name!r} has the id "
            f"{', '.join(sorted(missing))}; `si-stream dead-letters list` shows those there are"
        )
    return found
