"""The board: what the page shows, by section, as of the last look.

Invariant: it looks at the learner's directory and the snapshot that is served, and changes neither;
it is only ever looked at by one thread at a time, which is not the event loop's.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import orjson
from pydantic import BaseModel

from services.happenings import Happenings
from services.journal_reading import JournalReader
from services.learner_status import read_status
from services.predictor import answers
from services.predictor.follower import Follower
from services.predictor.sections import Known, sections_of
from services.story import Story
from si_stream import events

logger = logging.getLogger(__name__)
BREATH_SECONDS = 0.005  # between two pieces of a long journal, for the predictions' sake

Sections = dict[str, bytes]
"""JSON texts by the section's name."""


class Board:
    """Args:
    directory: of the model; it may not be there yet.
    follower: asked for the snapshot that is served.
    """

    def __init__(self, directory: Path, follower: Follower) -> None:
        self.directory = directory
        self.follower = follower
        self._journal = JournalReader(directory, skip=(events.Progress,))  # of older versions
        self._complaint = ""
        self._begin_anew()

    def look(self) -> Sections:
        """All of it, as of now."""
        try:
            self._read_journal()
            self._complaint = ""
        except OSError as error:
            if str(error) != self._complaint:  # once, not at every look
                logger.warning("cannot read the journal in %s: %s", self.directory, error)
            self._complaint = str(error)
        served = self.follower.served
        known = Known(self._story, read_status(self.directory), served, time.time())
        sections = {
            **sections_of(known),
            "model": answers.task_list(served) if served else None,
            "events": [*self._happenings],
        }
        return {name: orjson.dumps(part, default=_plain) for name, part in sections.items()}

    def _begin_anew(self) -> None:
        self._story, self._happenings = Story(), Happenings()

    def _read_journal(self) -> None:
        while True:
            reading = self._journal.read()
            if reading.anew:
                self._begin_anew()
            for told in reading.told:
                try:
                    self._story.hear(told.event)
                    self._happenings.hear(told)
                except (TypeError, ValueError, AttributeError) as error:  # damaged: the rest counts
                    logger.warning("passed over %s in the journal: %s", told.event, error)
            if not reading.more:
                return
            time.sleep(BREATH_SECONDS)


def _plain(part: Any) -> Any:
    if isinstance(part, BaseModel):
        return part.model_dump(mode="json")
    raise TypeError(f"{type(part)} is no part of a section")
