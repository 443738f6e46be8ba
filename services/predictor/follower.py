"""Follows the directory of a learner: the newest snapshot is loaded aside and put in place whole.

Invariant: `served` only ever changes from one whole snapshot to another that was published later,
by one assignment; nobody waits for a load.
"""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import torch

from services.predictor.served import Served
from si_stream.checkpoints.snapshots import LIMIT_BYTES, SnapshotStore, published, read
from si_stream.errors import NoSnapshotYet, SIStreamError

logger = logging.getLogger(__name__)


class Follower:
    """Args:
    directory: of the model, as its learner writes it; it may not exist yet.
    interval_seconds: between looks.
    threads: of the arithmetic.
    own_module: see `Served`.
    """

    def __init__(
        self,
        directory: Path,
        interval_seconds: float,
        threads: int = 1,
        own_module: str | None = None,
    ) -> None:
        self.directory = directory
        self.interval_seconds = interval_seconds
        self.threads = threads
        self._own_module = own_module
        self.served: Served | None = None
        self.loads = 0
        self.failures = 0
        self._store = SnapshotStore(directory)
        self._path: Path | None = None
        self._refused: set[tuple[Path, int]] = set()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="follower", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def current(self) -> Served:
        """Raises:
        NoSnapshotYet: nothing has been loaded.
        """
        if self.served is None:
            raise NoSnapshotYet(
                "no snapshot has been loaded yet; a learner publishes the first one within "
                "seconds of its first samples: ask again then"
            )
        return self.served

    def look(self) -> None:
        """Serve the newest snapshot that can be, if it is newer; what cannot is refused once."""
        found: set[tuple[Path, int]] = set()
        for path in self._store.newest_first():
            if path == self._path:
                break
            try:
                key = (path, path.stat().st_size)  # one that is still being copied here grows
            except FileNotFoundError:
                continue  # removed as an old one, just now
            found.add(key)
            if key not in self._refused and self._load(path):
                break
            self._refused.add(key)
        self._refused &= found

    def _load(self, path: Path) -> bool:
        try:
            served = Served(read(path, LIMIT_BYTES), self._own_module)
        except SIStreamError as error:
            if path.exists():  # not removed as an old one, just now
                self.failures += 1
                logger.warning("%s; %s", error, self._instead())
            return False
        except Exception:  # a trunk of one's own may raise anything
            self.failures += 1
            logger.exception("%s cannot be served; %s", path, self._instead())
            return False
        before = self.served
        if self._path and published(path) < published(self._path):
            logger.warning(
                "%s is older than %s, which stays; if the model was begun anew, start the "
                "predictor anew",
                path,
                self._path.name,
            )
            return False
        self.served, self._path = served, path
        self.loads += 1
        level = logging.DEBUG if before and before.version[0] == served.version[0] else logging.INFO
        logger.log(level, "serving snapshot %s of %s", served.version, served.model.name)
        return True

    def _instead(self) -> str:
        return f"snapshot {self.served.version} stays" if self.served else "trying the one before"

    def _follow(self) -> None:
        torch.set_num_threads(self.threads)  # each thread must be told, or takes all cores
        complaint = ""
        while True:
            try:
                self.look()
                complaint = ""
            except Exception as error:  # a fault of ours must not end the following
                if str(error) != complaint:  # once, not at every look
                    fault = None if isinstance(error, OSError) else error
                    said = ("cannot look for snapshots in %s: %s", self.directory, error)
                    logger.warning(*said, exc_info=fault)
                complaint = str(error)
            if self._stopping.wait(self.interval_seconds):
                return
