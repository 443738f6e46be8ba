"""The course of a run without a stop: each state that a checkpoint could be written of.

Invariant: it is the bare loop's, in memory, of the same stream; no service has a part in it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from si_stream.brokers.embedded import EmbeddedBroker
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
        self._listener = _Saving(self)
        with EmbeddedBroker(broker_of(stream)) as broker:
            learn(broker, settings, host=self._listener, read=OneByOne)  # to see it at each record

    def add(self, state: State, dead_letters: int) -> None:
        state.ledger.dead_letters = dead_letters
        self._states[place_of(state)] = contents(state)

    def differences(self, state: State) -> dict[str, Any]:
        """By name what is not as it was at that place."""
        place = place_of(state)
        if place not in self._states:
            return {"place": (place, "never come by")}
        return differing_names(contents(state), self._states[place])


class _Saving(Listener):
    def __init__(self, course: Course) -> None:
        super().__init__(save=lambda state: course.add(state, len(self.faults)))


def place_of(state: State) -> str:
    ledger = state.ledger
    at = ledger.model_dump(mode="json", include={"position", "turn", "counted", "consolidations"})
    return json.dumps(at, sort_keys=True)


def differing_names(
    here: dict[str, str], there: dict[str, str]
) -> dict[str, tuple[str | None, str | None]]:
    names = here.keys() | there.keys()
    return {n: (here.get(n), there.get(n)) for n in names if here.get(n) != there.get(n)}
