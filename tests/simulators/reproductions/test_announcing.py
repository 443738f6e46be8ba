from __future__ import annotations

import numpy as np

from si_stream.messages.kinds import Boundary, End, Message, Samples
from simulators.reproductions.announcing import announced


def samples(first: int, count: int) -> Samples:
    numbers = np.arange(first, first + count)
    return Samples(numbers.astype(np.uint8).reshape(-1, 1), numbers % 2)


def told(places: list[int]) -> list[Message]:
    return list(announced([samples(0, 4), samples(4, 4), samples(8, 2), End("end")], places))


def numbers(message: Message) -> list[int] | str:
    return message.inputs[:, 0].tolist() if isinstance(message, Samples) else type(message).__name__


def test_a_boundary_stands_before_each_of_the_places() -> None:
    assert [numbers(one) for one in told([2, 3, 8])] == [
        [0, 1],
        "Boundary",
        [2],
        "Boundary",
        [3],
        [4, 5, 6, 7],
        "Boundary",
        [8, 9],
        "End",
    ]


def test_without_places_it_is_the_stream_as_it_was() -> None:
    assert [numbers(one) for one in told([])] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9], "End"]


def test_each_boundary_has_an_id_of_its_own() -> None:
    ids = [one.event_id for one in told([2, 3, 8]) if isinstance(one, Boundary)]
    assert len(set(ids)) == 3
