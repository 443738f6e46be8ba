"""Announcing: a silent stream, told boundaries at any places one likes.

Invariant: the samples and their order are those of the silent stream.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from si_stream.messages.kinds import Boundary, Message, Samples


def announced(stream: Iterable[Message], places: Sequence[int]) -> Iterator[Message]:
    """The stream with a boundary before each of these samples.

    Args:
        stream: without holdout samples.
        places: rising, each the index of a sample among all of the stream's, above 0.
    """
    first, told = 0, 0
    for message in stream:
        if not isinstance(message, Samples):
            yield message
            continue
        begin, count = 0, len(message)
        while told < len(places) and places[told] < first + count:
            at = places[told] - first
            if at > begin:
                yield part(message, begin, at)
            yield Boundary(f"told-{told}")
            begin = at
            told += 1
        if begin < count:
            yield part(message, begin, count)
        first += count


def part(samples: Samples, begin: int, end: int) -> Samples:
    return replace(samples, inputs=samples.inputs[begin:end], labels=samples.labels[begin:end])
