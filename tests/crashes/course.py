"""The course of a run without a stop: each state that a checkpoint could be written of.

Invariant: it is the bare loop's, in memory, of the same stream; no service has a part in it. Where
boundaries are detected these are the copies that a rewind may go back to. How many dead letters
there were by then is left out of those, for after a rewind it is as many as before.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from si_stream.brokers.embedded import EmbeddedBroker
from si_stream.checkpoints.copies import StateCopy
from si_stream.rewinding import MemoryKeeper, Rewinder
from si_stream.settings import Settings
from si_stream.state import State
from tests.crashes.varieties import broker_of
from tests.streams import Listener, OneByOne, contents, learn


class Course:
    """Args:
    stream: a directory that a variety has filled.
    """

    def __init__(self, stream: Path, settings: Settings) -> None:
        self._states: dict[str, dict[str, str]] = {}
        self._left_out = set[str]()
        with EmbeddedBroker(broker_of(stream)) as broker:
            if settings.detection.kind == "off":  # read so as to see it at each record
                learn(broker, settings, host=_Saving(self), read=OneByOne)
            else:
                self._left_out = {"ledger/dead_letters"}
                stream_name = settings.stream.name
                state = State(settings, broker.stream_id(stream_name))
                state.ledger.know(broker.partitions(stream_name))
                learn(broker, settings, state=state, rewinder=Rewinder(state, _Copying(self)))

    def add(self, state: State) -> None:
        self._states[place_of(state)] = contents(state)

    def differences(self, state: State) -> dict[str, Any]:
        """By name what is not as it was at that place."""
        place = place_of(state)
        if place not in self._states:
            return {"place": (place, "never come by")}
        differing = differing_names(contents(state), self._states[place])
        return {name: both for name, both in differing.items() if name not in self._left_out}


PLACE = {"position", "turn", "counted", "consolidations", "cut"}


class _Saving(Listener):
    def __init__(self, course: Course) -> None:
        super().__init__(save=self._save)
        self._course = course

    def _save(self, state: State) -> None:
        state.ledger.dead_letters = len(self.faults)
        self._course.add(state)


class _Copying(MemoryKeeper):
    def __init__(self, course: Course) -> None:
        self._course = course

    def copy(self, state: State) -> StateCopy:
        self._course.add(state)
        return super().copy(state)


def place_of(state: State) -> str:
    ledger = state.ledger
    at = ledger.model_dump(mode="json", include=PLACE)
    return json.dumps(at, sort_keys=True)


def differing_names(
    here: dict[str, str], there: dict[str, str]
) -> dict[str, tuple[str | None, str | None]]:
    names = here.keys() | there.keys()
    return {n: (here.get(n), there.get(n)) for n in names if here.get(n) != there.get(n)}
