from __future__ import annotations

from collections.abc import Iterator

import pytest

from si_stream.brokers.interface import Envelope
from si_stream.errors import PositionOutOfRange
from simulators.reproductions.stream import MadeStream


def envelopes(count: int) -> list[Envelope]:
    return [Envelope({"ce_id": str(n)}, bytes([n]) * 400_000) for n in range(count)]


def test_it_is_made_only_as_far_as_it_is_read() -> None:
    taken: list[int] = []

    def made() -> Iterator[Envelope]:
        for n, envelope in enumerate(envelopes(9)):
            taken.append(n)
            yield envelope

    reader = MadeStream(made()).reader(0)
    assert [record.offset for record in reader.poll(0)] == [0, 1, 2]
    assert taken == [0, 1, 2]
    assert reader.next_offset(0) == 3


def test_what_is_read_again_is_the_same_and_what_is_forgotten_is_refused() -> None:
    stream = MadeStream(envelopes(6))
    first = stream.reader(0).poll(0)
    stream.forget(below_offset=2)
    assert stream.kept == 1
    assert stream.reader(2).poll(0)[0] == first[2]
    with pytest.raises(PositionOutOfRange, match="no longer kept"):
        stream.reader(1).poll(0)


def test_behind_its_last_record_there_is_nothing() -> None:
    reader = MadeStream(envelopes(2)).reader(0)
    assert len(reader.poll(0)) == 2
    assert reader.poll(0) == []


def test_no_partition_is_read_that_nobody_asks_for() -> None:
    reader = MadeStream(envelopes(2)).reader(0)
    assert reader.poll(0, []) == []
    assert len(reader.poll(0, [0])) == 2


def test_from_an_offset_on_it_gives_the_same_records_and_keeps_none_before() -> None:
    whole = [MadeStream(envelopes(6)).at(n) for n in range(7)]
    later = MadeStream(envelopes(6), first_offset=4)
    assert later.reader(4).poll(0) == whole[4:6]
    assert later.kept == 2
    assert later.at(6) is None
    with pytest.raises(PositionOutOfRange):
        later.at(3)
