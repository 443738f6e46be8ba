"""The directory of the model: its checkpoints, whose they are, and who writes there."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from pathlib import Path

from services.doctor.finding import Finding, fail, ok, warn
from services.learner_status import read_status
from services.processes import is_alive
from services.quantities import seconds
from services.resuming import changes
from si_stream.checkpoints.store import Checkpoint, CheckpointStore, Manifest, label
from si_stream.errors import CorruptCheckpoint
from si_stream.settings import Settings
from si_stream.state import Identity


def newest_whole(directory: Path) -> Checkpoint | None:
    """The checkpoint that a learner would go on from."""
    store = CheckpointStore(directory)
    for path in store.newest_first():
        try:
            return store.read(path)
        except CorruptCheckpoint:
            continue
    return None


def look(settings: Settings) -> Iterator[Finding]:
    directory = settings.directory
    if not directory.is_dir():
        if directory.exists():
            yield fail("directory", f"{directory} is no directory", "name another --directory")
        else:
            yield ok("directory", f"{directory} is not there yet; the first learner makes it")
        return
    newest = yield from of_checkpoints(directory)
    if newest is not None:
        yield of_identity(settings, newest)
    yield of_learner(settings)


def of_checkpoints(directory: Path) -> Generator[Finding, None, Manifest | None]:
    """What there is. Returns the newest whole one's manifest."""
    about, store = "directory: checkpoints", CheckpointStore(directory)
    paths = [*store.newest_first()]
    damaged, newest, named = [], None, ""
    for path in paths:
        try:
            manifest = store.read(path).manifest
        except CorruptCheckpoint as error:
            damaged.append((label(path), error))
            continue
        if newest is None:
            newest, named = manifest, label(path)
    if not paths:
        yield ok(about, f"none in {directory} yet")
        return None
    if newest is None:
        yield fail(
            about,
            f"all {len(paths)} are damaged: {damaged[0][1]}",
            "look at the disk, and put a backup in their place (docs/operations.md, Back up and "
            "restore)",
        )
        return None
    age = max(0.0, time.time() - newest.written_seconds)
    shown = (
        f"{len(paths) - len(damaged)} whole, the newest {named} of {seconds(age)} ago at step "
        f"{newest.ledger.steps:,}"
    )
    if damaged:
        names = ", ".join(name for name, _ in damaged)
        yield warn(about, f"{shown}; damaged: {names}", f"look at the disk: {damaged[0][1]}")
    else:
        yield ok(about, shown)
    return newest


def of_identity(settings: Settings, newest: Manifest) -> Finding:
    """Whether the settings make the model that the checkpoint is of."""
    about = "directory: identity"
    if not (settings.model.input_shape and settings.model.width):
        model = newest.identity.model
        return ok(about, f"holds {model.name}; there is no model in the settings to compare with")
    identity = Identity.of(settings, newest.identity.stream_id)
    if differences := identity.differences(newest.identity):
        return fail(
            about,
            f"the checkpoint is of another model: {'; '.join(differences)}",
            "start with its settings, or give this model a --directory of its own",
        )
    changed = changes(newest, settings)
    if changed and not settings.learner.accept_changes:
        return fail(
            about,
            f"the checkpoint was learned with other settings: {'; '.join(changed)}",
            "start with them, or change them on purpose with --accept-changes",
        )
    return ok(about, "the checkpoint is of the model of these settings")


def of_learner(settings: Settings) -> Finding:
    """Whether a learner is at work there."""
    about, now = "directory: learner", time.time()
    status = read_status(settings.directory)
    if status is None:
        return ok(about, "none has said anything there")
    who = f"process {status.pid}, epoch {status.epoch}, step {status.step:,}"
    ago = f"{seconds(max(0.0, now - status.written_seconds))} ago"
    if status.status == "stopped":
        return ok(about, f"none; the last one ({who}) stopped in good order {ago}")
    if status.is_away(now):
        hangs = "is there and says nothing" if is_alive(status.pid) else "is gone without a word"
        return warn(
            about,
            f"the last one ({who}) was heard of {ago}; on this machine its process {hangs}",
            "start it again: it goes on from the newest checkpoint; why it ended is in its log",
        )
    return ok(about, f"one is {status.status} ({who}); a second one would take over from it")
