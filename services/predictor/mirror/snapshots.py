"""The newest snapshot of a learner elsewhere, brought here.

To take one, and what a failure after each step leaves:

    1. ask for the newest by its name             → nothing; a name that is older is refused
    2. download it under a temporary name          → what is there is gone on from, while the
                                                     process lives; else a left-over
    3. compare its SHA-256, then its manifest      → the same, or it is thrown away
    4. fsync, rename to the final name, fsync      → as of `si_stream.checkpoints.files`
    5. remove those before                         → one too many

Invariant: of what is taken, each was published after the one before, also where the process was
ended in between: the newest that was ever taken is still there.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from services.predictor.mirror.download import Download, Offered
from services.predictor.mirror.learner import (
    SourceAway,
    SourceLearner,
    SourceRefuses,
    SourceUnusable,
)
from si_stream.checkpoints import files
from si_stream.checkpoints.snapshots import (
    SUFFIX,
    Published,
    SnapshotStore,
    published,
    read_manifest,
)
from si_stream.errors import CorruptCheckpoint
from si_stream.learning.options import ModelOptions

logger = logging.getLogger(__name__)
KEPT = 2  # that which is served, and the next
LIMIT_BYTES = 4 * 2**30
NEWEST = "/snapshots/newest"
ADDRESS = re.compile(r".*/snapshots/(\d{6,9})/(\d{12}-[0-9a-f]{64}\.safetensors)")


class SnapshotCopies:
    """Args:
    directory: of the copies.
    stopping: asked between two pieces.

    Attributes:
        taken: since the process began.
    """

    def __init__(
        self, directory: Path, learner: SourceLearner, stopping: Callable[[], bool]
    ) -> None:
        self.taken = 0
        self._learner = learner
        self._stopping = stopping
        self._store = SnapshotStore(directory)
        self._epochs = self._store.epochs
        self._newest: Path | None = None
        self._order: Published | None = None
        self._model: ModelOptions | None = None
        self._etag: str | None = None  # of what need not be offered again
        self._refusal: SourceRefuses | None = None  # of that, if it was not taken
        self._download: Download | None = None

    def begin(self) -> None:
        """Look at what is there from before; what is not whole counts as not there."""
        for epoch in self._epochs.glob("*/snapshots"):
            files.remove_left_overs(epoch)
        for path in self._store.newest_first():
            self._order = self._order or published(path)  # also of one that is not whole
            named = files.parse_name(path)
            assert named is not None
            try:
                files.require_digest(path, named[1], LIMIT_BYTES)
            except CorruptCheckpoint as error:
                logger.warning("%s; it is downloaded again", error)
                path.unlink()
                continue
            if published(path) == self._order:
                self._has(path)
            with suppress(CorruptCheckpoint):  # of a newer version, which will read it again
                self._model = read_manifest(path).model
            return

    def look(self) -> None:
        """Take the learner's newest, where it is newer.

        Raises:
            SourceAway: it cannot be had now.
            SourceRefuses: it is not to be had, or not to be taken.
            SourceUnusable: what came is not what it should be.
            OSError: it cannot be written.
        """
        if self._download is None:
            offered = self._offered()
            if offered is None:
                return None
            self._download = Download(offered)
        try:
            if not self._download.go_on(self._learner, self._stopping, LIMIT_BYTES):
                return self.drop()
            self._take(self._download)
        except (SourceAway, InterruptedError):
            raise  # what has come is gone on from
        except BaseException:
            self.drop()
            raise
        return None

    def drop(self) -> None:
        """Give up what has come by half."""
        if self._download is not None:
            self._download.drop()
        self._download = None

    def _offered(self) -> Offered | None:
        """The learner's newest, where it is to be taken."""
        known = {"If-None-Match": self._etag} if self._etag else {}
        with self._learner.asked("HEAD", NEWEST, known) as response:
            status = response.status_code
            if status == 304 and self._refusal is not None:
                raise self._refusal
            if status == 304 or (status == 503 and self._order is None):
                return None
            if status == 503:
                raise SourceAway(
                    f"the learner at {self._learner.url} has no snapshot, or no room for this "
                    "predictor (503)"
                )
            etag = response.headers.get("etag", "").removeprefix("W/").strip('"')
            named = ADDRESS.fullmatch(response.headers.get("content-location", ""))
        if status != 200 or named is None or named[2][13 : -len(SUFFIX)] != etag:
            raise SourceRefuses(
                f"what answers at {self._learner.url} is no learner of this version ({status}); "
                "name its metrics address with predictor.source"
            )
        epoch, name = named.groups()
        path = self._epochs / epoch / "snapshots" / name
        offered = Offered(path, f"/snapshots/{epoch}/{name}", etag)
        self._require_newer(offered)
        return offered

    def _require_newer(self, offered: Offered) -> None:
        order = published(offered.path)
        if self._order is None or order > self._order:
            return
        if order == self._order and self._newest is None:
            return  # the one that was not whole
        raise self._refused(
            offered,
            f"the learner at {self._learner.url} offers snapshot {order.epoch}/{order.number}, and "
            f"{self._order.epoch}/{self._order.number} was published later, which stays; "
            + self._begun_anew(),
        )

    def _begun_anew(self) -> str:
        return (
            "if its model was begun anew on purpose, stop this predictor, remove "
            f"{self._epochs.parent}, and start it again"
        )

    def _take(self, download: Download) -> None:
        offered = download.offered
        if (found := download.hash.hexdigest()) != offered.digest:
            raise SourceUnusable(
                f"{self._learner.url}{offered.address} came with {download.count:,} bytes that do "
                f"not have its SHA-256 but {found}: cut short or altered on the way; it is "
                "downloaded again"
            )
        download.file.flush()
        try:
            manifest = read_manifest(download.path)
        except CorruptCheckpoint as error:
            raise self._refused(
                offered,
                f"the learner at {self._learner.url} offers what this version cannot read: "
                f"{error}; after an upgrade, start the new predictors first",
            ) from error
        self._require_same_model(offered, manifest.model)
        download.commit()
        self._download = None
        self._model, self._order = manifest.model, published(offered.path)
        self._has(offered.path)
        self.taken += 1
        self._prune()

    def _require_same_model(self, offered: Offered, model: ModelOptions) -> None:
        """But for its name, which may change."""
        before = self._model
        if before is None or model == before.model_copy(update={"name": model.name}):
            return
        here, there = before.model_dump(), model.model_dump()
        keys = ", ".join(key for key in here if here[key] != there[key] and key != "name")
        raise self._refused(
            offered,
            f"the learner at {self._learner.url} learns another model ({model.name}) than the one "
            f"that is served: they differ in {keys}; {self._begun_anew()}",
        )

    def _refused(self, offered: Offered, why: str) -> SourceRefuses:
        """It is not asked for again, until there is another."""
        self._etag, self._refusal = f'"{offered.digest}"', SourceRefuses(why)
        return self._refusal

    def _has(self, path: Path) -> None:
        named = files.parse_name(path)
        assert named is not None
        self._newest, self._etag, self._refusal = path, f'"{named[1]}"', None

    def _prune(self) -> None:
        for old in [*self._store.newest_first()][KEPT:]:
            with suppress(OSError):
                old.unlink()
        newest = {path.parent for path in self._store.newest_first()}
        for directory in self._epochs.glob("*/snapshots"):
            if directory not in newest:
                with suppress(OSError):  # there is something else in it
                    directory.rmdir()
                    directory.parent.rmdir()
