"""Whether the stream holds a state's position, and what becomes of one that it does not.

Invariant: nothing is passed over in silence. What is moved is moved by a setting, told of in the
log and kept in the checkpoint.
"""

from __future__ import annotations

import logging

from si_stream.brokers.interface import Broker, Position, offsets
from si_stream.errors import PositionOutOfRange
from si_stream.state import Ledger, State

logger = logging.getLogger(__name__)


def fit_position(state: State, broker: Broker, *, made_anew: bool = False) -> None:
    """See that the stream holds the position; or move it, as `stream.out_of_range` says.

    A partition that the state does not know yet begins with the oldest record that is kept. In a
    stream that was made anew no offset means what it did.

    Raises:
        PositionOutOfRange: it does not, and may not be moved.
    """
    ledger, stream = state.ledger, state.settings.stream
    count = broker.partitions(stream.name)
    known = set(ledger.position)
    if ledger.tasks.active is None:
        ledger.know(max(count, len(ledger.position)))
    moved = dict(ledger.position)
    problems = []
    for partition, place in ledger.position.items():
        if partition >= count:
            problems.append(f"partition {partition} is not there any more")
            del moved[partition]
            continue
        low, high = broker.watermarks(stream.name, partition)
        misfit = "made anew" if made_anew else out_of_range(place, low, high)
        if partition not in known:
            moved[partition] = Position(low)
        elif misfit:
            problems.append(f"partition {partition}: {misfit}")
            moved[partition] = Position(high if stream.out_of_range == "latest" else low)
    if problems and stream.out_of_range == "fail":
        raise PositionOutOfRange(
            f"stream {stream.name!r} does not hold the checkpoint's position "
            f"({'; '.join(problems)}). Go on with the oldest message it holds "
            "(--set stream.out_of_range=earliest), with the next one to come "
            "(--set stream.out_of_range=latest), or from another checkpoint (si-stream rollback)"
        )
    if problems:
        move(ledger, moved, problems)
    if made_anew:
        ledger.counted = {}
    ledger.position = moved


def move(ledger: Ledger, positions: dict[int, Position], reasons: list[str]) -> None:
    """Have the state go on elsewhere: what lies between is not learned, or learned again."""
    logger.warning(
        "the position is moved from %s to %s (%s)",
        *(offsets(ledger.position), offsets(positions), "; ".join(reasons)),
    )
    ledger.changes.append({"position": dict(ledger.position), "changes": reasons})
    changed = dict(positions.items() - ledger.position.items())
    ledger.counted = {**ledger.counted, **changed}
    ledger.position, ledger.turn = positions, 0


def out_of_range(place: Position, low: int, high: int) -> str | None:
    """Why it is not a place that reading can go on from; None where it is."""
    if place.offset < low:
        return f"offset {place.offset} is no longer kept, the lowest is {low}"
    if place > Position(high):
        return f"offset {place.offset} was never written, the next one will be {high}"
    return None
