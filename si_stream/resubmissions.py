"""Which dead letters have been sent again: marks that stand on the stream of letters, behind them.

Invariant: a letter never outlives its mark. A mark names letters by their offsets, which are never
used again, and retention takes what is older first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime

from si_stream.brokers.interface import Broker, Envelope
from si_stream.dead_letters import MARK, PREFIX, read_records, stream_of_letters

OFFSET = re.compile(r"\b[0-9]{1,18}\b")
"""Others may write into the stream of letters, whatever they like."""


def mark(broker: Broker, stream: str, offsets: Iterable[int], time_seconds: float) -> None:
    """Have it known of the letters at the offsets that they were sent again.

    Raises:
        BrokerError: it is not known now.
    """
    time = datetime.fromtimestamp(time_seconds, UTC).isoformat()
    named = " ".join(map(str, offsets))
    envelope = Envelope({MARK: named, f"{PREFIX}time": time}, b"")
    broker.append(stream_of_letters(stream), 0, [envelope])


def marked(broker: Broker, stream: str) -> dict[int, str]:
    """The offsets of the letters that were sent again, and when each was, the last time.

    Raises:
        StreamNotFound: there is no stream of letters, so nothing was ever rejected.
    """
    return {
        int(offset): record.headers.get(f"{PREFIX}time", "")
        for record in read_records(broker, stream)
        for offset in OFFSET.findall(record.headers.get(MARK, ""))
    }
