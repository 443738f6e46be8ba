"""Messages that could not be learned from: list them, look at one, send them again."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Iterable, Iterator

from si_stream.brokers import open_broker
from si_stream.brokers.interface import Broker
from si_stream.dead_letters import Letter, read_letters
from si_stream.errors import BrokerError, StreamNotFound
from si_stream.settings import Settings


def list_letters(settings: Settings, reason: str | None) -> None:
    """One line a letter: its id, where it came from, and what is wrong."""
    with _opened(settings) as broker:
        for letter in _letters(broker, settings, reason):
            place = f"{letter.partition}/{letter.offset}"
            row = "" if letter.row is None else f" row {letter.row}"
            print(f"{letter.letter_id}  {letter.time}  at {place}{row}  {letter.reason}")
            print(f"    {letter.detail}")
            if (left_out := _left_out(letter)) is not None:
                print(f"    {left_out}")


def show_letter(settings: Settings, letter_id: str) -> None:
    """All of a letter's headers on stderr, and the message's own bytes, if kept, on stdout."""
    with _opened(settings) as broker:
        letter = _chosen(broker, settings, {letter_id})[0]
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
            },
            indent=2,
        ),
        file=sys.stderr,
    )
    sys.stdout.buffer.write(letter.message.value)
    sys.stdout.buffer.flush()


def resubmit_letters(settings: Settings, ids: Collection[str], reason: str | None) -> None:
    """Send the messages to the end of the stream again, each to the partition that it came from.

    Raises:
        BrokerError: one of the ids is no letter's; none is sent.
    """
    sent, unsent = 0, 0
    with _opened(settings) as broker:
        if ids:
            letters: Iterable[Letter] = _chosen(broker, settings, set(ids))
        else:
            letters = _letters(broker, settings, reason)
        for letter in letters:
            if (left_out := _left_out(letter)) is not None:
                unsent += 1
                print(f"not sent: {letter.letter_id}: {left_out}")
                continue
            broker.append(settings.stream.name, letter.partition, [letter.message])
            sent += 1
            print(f"sent again: {letter.letter_id}")
    print(f"{sent} of the messages are on stream {settings.stream.name!r} again")
    if unsent:
        print(f"{unsent} were not sent, since their letters do not hold them")


def _left_out(letter: Letter) -> str | None:
    """Of a letter without its message: where that is."""
    if letter.left_out_bytes is None:
        return None
    return (
        "the message is not here, since it was too large for the stream of letters (a payload of "
        f"{letter.left_out_bytes:,} bytes); it lies at offset {letter.offset} of partition "
        f"{letter.partition}, as long as the stream keeps it"
    )


def _opened(settings: Settings) -> Broker:
    return open_broker(settings.stream.broker, settings.kafka)


def _letters(broker: Broker, settings: Settings, reason: str | None) -> Iterator[Letter]:
    try:
        for _, letter in read_letters(broker, settings.stream.name):
            if reason in (None, letter.reason):
                yield letter
    except StreamNotFound:
        return


def _chosen(broker: Broker, settings: Settings, ids: Collection[str]) -> list[Letter]:
    found = [one for one in _letters(broker, settings, None) if one.letter_id in ids]
    missing = set(ids) - {letter.letter_id for letter in found}
    if missing:
        raise BrokerError(
            f"no dead letter of stream {settings.stream.name!r} has the id "
            f"{', '.join(sorted(missing))}; `si-stream dead-letters list` shows those there are"
        )
    return found
