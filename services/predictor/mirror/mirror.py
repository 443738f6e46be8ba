"""Follows a learner elsewhere: what it publishes is brought into a directory here, on a thread.

Invariant: whatever becomes of the learner, of the way to it or of the disk, the thread goes on, and
what is served stays; a trouble is told of once, and once more when it is over.
"""

from __future__ import annotations

import logging
import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from typing import NamedTuple

from pydantic import ValidationError

from services.learner_status import LIMIT_BYTES as STATUS_BYTES
from services.learner_status import NAME as STATUS
from services.learner_status import LearnerStatus
from services.predictor.mirror.journal import JournalCopy
from services.predictor.mirror.learner import (
    SourceAway,
    SourceLearner,
    SourceRefuses,
    SourceUnusable,
)
from services.predictor.mirror.place import Place
from services.predictor.mirror.snapshots import SnapshotCopies
from services.predictor.mirror.source import Source, unix_time
from si_stream.checkpoints.files import TEMPORARY
from si_stream.settings import PredictorOptions

logger = logging.getLogger(__name__)
LOOK_SECONDS = 0.5  # for a newer snapshot: within the two in which all are to serve it
AWAY_SECONDS = 1.0  # at most, between two tries
DAMAGED_SECONDS = 60.0  # the same, where what comes is damaged each time
WATCHED_SECONDS = 1.0  # between looks at the state and the journal while a page is open,
UNWATCHED_SECONDS = 4.0  # and else: what is older than five counts as away
CLOSE_SECONDS = 2.0
REASONS = ("away", "refused", "damaged", "disk", "fault")
"""Of failures."""


class Complaint(NamedTuple):
    kind: str
    text: str


class Mirror:
    """Args:
    options: of the source and how to be let in.
    directory: of the copy, for this predictor alone.
    watched: whether anybody looks at the learner's state just now.

    Attributes:
        failures: by reason.
        reachable: whether the learner answered when it was last asked.

    Raises:
        SettingsError: the directory is not for it, or a file of the settings cannot be read.
        CheckpointError: the directory cannot be written into.
    """

    def __init__(
        self,
        options: PredictorOptions,
        directory: Path,
        watched: Callable[[], bool] = lambda: True,
    ) -> None:
        self.learner = SourceLearner(options)
        self.place = Place(directory, self.learner.url)
        self.watched = watched
        self.failures: Counter[str] = Counter()
        self.reachable = False
        self._stopping = Event()
        self._status_path = directory / STATUS
        self._snapshots = SnapshotCopies(directory, self.learner, self._is_to_stop)
        self._journal = JournalCopy(directory, self.learner)
        self._story_seen = float("-inf")  # when there was no more of it
        self._complaints: dict[str, Complaint] = {}  # by what it is of
        self._thread = Thread(target=self._follow, name="mirror", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(CLOSE_SECONDS)
        self.learner.close()
        self.place.close()

    def source(self) -> Source:
        return Source(
            kind="url",
            address=self.learner.url,
            reachable=self.reachable,
            problem=next((one.text for one in [*self._complaints.values()]), None),
            answered_seconds=unix_time(self.learner.answered_at),
        )

    @property
    def taken(self) -> int:
        return self._snapshots.taken

    def _follow(self) -> None:
        tries, before = 0, None
        # Before it is known what was there, anything would seem to be newer.
        while self._try("the copy from before", self._begin) is not None:
            if self._stopping.wait(AWAY_SECONDS):
                return
        self.reachable = False  # nobody was asked yet
        while not self._stopping.is_set():
            trouble = self._try("snapshots", self._snapshots.look)
            more = False
            if trouble is None and self._story_is_due():
                more = self._look_at_story()
            tries = tries + 1 if trouble == before else 0
            before = trouble
            if trouble is None:
                delay = 0.0 if more else LOOK_SECONDS
            else:
                most = DAMAGED_SECONDS if trouble == "damaged" else AWAY_SECONDS
                delay = min(most, LOOK_SECONDS * 2 ** min(tries, 16))
            # Predictors that lost their learner at the same time come back each at its own.
            self._stopping.wait(delay * random.uniform(0.7, 1.0))

    def _begin(self) -> None:
        self._snapshots.begin()
        self._journal.begin()

    def _is_to_stop(self) -> bool:
        """Asked while a snapshot comes, which may take longer than a learner's state counts."""
        if self._story_is_due():
            self._look_at_story()
        return self._stopping.is_set()

    def _story_is_due(self) -> bool:
        wait = WATCHED_SECONDS if self.watched() else UNWATCHED_SECONDS
        return time.monotonic() - self._story_seen >= wait

    def _look_at_story(self) -> bool:
        """At the learner's state and its journal; whether there is more of that."""
        self._try("its state", self._look_at_status)
        more = [False]
        self._try("its journal", lambda: more.append(self._journal.look()))
        if not more[-1]:
            self._story_seen = time.monotonic()
        return more[-1]

    def _look_at_status(self) -> None:
        content = self.learner.get("/health", STATUS_BYTES)
        if content is None:
            return
        try:
            status = LearnerStatus.model_validate_json(content)
        except ValidationError as error:
            reason = str(error).splitlines()[0]
            raise SourceUnusable(
                f"{self.learner.url}/health is not answered as this version does: {reason}"
            ) from error
        # It was so when it came; the learner's clock may be another.
        status = status.model_copy(update={"written_seconds": time.time()})
        temporary = self._status_path.with_name(f"{TEMPORARY}status")
        try:
            temporary.write_bytes(status.model_dump_json(indent=1).encode())
            temporary.replace(self._status_path)
        except OSError:
            with suppress(OSError):
                temporary.unlink()
            raise

    def _try(self, what: str, look: Callable[[], object]) -> str | None:
        """Do it; the kind of trouble that there was, which is told of once."""
        try:
            look()
        except InterruptedError:
            return None  # it is to stop
        except SourceAway as error:
            self.reachable = False
            return self._failed(what, "away", str(error))
        except SourceRefuses as error:
            self.reachable = True
            return self._failed(what, "refused", str(error))
        except SourceUnusable as error:
            self.reachable = True
            return self._failed(what, "damaged", str(error))
        except OSError as error:
            return self._failed(
                what,
                "disk",
                f"cannot write into {self.place.directory}: {error.strerror}; make room or mend "
                "its permissions: what is served stays, and it goes on by itself",
            )
        except Exception as error:  # noqa: BLE001 - a fault of ours must not end the following
            if self._stopping.is_set():  # what it was in the middle of is closed under it
                return None
            return self._failed(what, "fault", f"{type(error).__name__}: {error}", error)
        self.reachable = True
        if self._complaints.pop(what, None) is not None:
            logger.info("%s of %s: all is well again", what, self.learner.url)
        return None

    def _failed(self, what: str, kind: str, text: str, fault: Exception | None = None) -> str:
        self.failures[kind] += 1
        before = self._complaints.get(what)
        if before is None or before.kind != kind:  # the same in other words is nothing new
            logger.warning("%s: %s", what, text, exc_info=fault)
        self._complaints[what] = Complaint(kind, text)
        return kind
