"""The directory of the model: its checkpoints, whose they are, and who writes there."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from pathlib import Path

from services.doctor.finding import Finding, fail, ok, refused, warn
from services.doctor.wholeness import look_at
from services.learner_status import read_status
from services.predictor.mirror.place import source_of_mirror
from services.processes import is_alive
from services.quantities import seconds
from services.resuming import changes
from si_stream.checkpoints.store import CheckpointStore, Manifest, label
from si_stream.errors import CheckpointError, CorruptCheckpoint, NewerFormat
from si_stream.settings import Settings
from si_stream.state import Identity

NEWEST_SECONDS = 20.0  # less than a check may take
ALL_SECONDS = 10.0


def look(settings: Settings) -> Iterator[Finding]:
    directory = settings.directory
    if not directory.is_dir():
        if directory.exists():
            yield fail("directory", f"{directory} is no directory", "name another --directory")
        else:
            yield ok("directory", f"{directory} is not there yet; the first learner makes it")
        return
    if (source := source_of_mirror(directory)) is not None:
        yield ok("directory", f"a predictor's copy of what {source} publishes; no learner's place")
        return
    newest = yield from of_checkpoints(directory)
    if newest is not None:
        yield of_identity(settings, newest)
    yield of_learner(settings)


def of_checkpoints(
    directory: Path, newest_seconds: float = NEWEST_SECONDS, all_seconds: float = ALL_SECONDS
) -> Generator[Finding, None, Manifest | None]:
    """What there is. Returns the newest whole one's manifest.

    Args:
        newest_seconds: that reading may take until a whole one is found.
        all_seconds: that it may take to read older ones too.
    """
    about, store, began = "directory: checkpoints", CheckpointStore(directory), time.monotonic()
    try:
        paths = [*store.newest_first()]
    except CheckpointError as error:
        yield refused(about, error)
        return None
    damaged, of_newer, newest, named, read = [], [], None, "", 0
    for path in paths:
        deadline = began + (newest_seconds if newest is None else all_seconds)
        try:
            manifest, is_read = look_at(store, path, deadline)
        except CorruptCheckpoint as error:
            damaged.append((label(path), error))
            continue
        except NewerFormat as error:
            if newest is None:
                yield refused(about, error)
                return None
            of_newer.append(label(path))
            continue
        read += is_read
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
    unread = len(paths) - len(damaged) - len(of_newer) - read
    left = f"; of a newer version, gone back from: {', '.join(of_newer)}" if of_newer else ""
    shown = (
        f"{read} whole{f', {unread} not read for want of time' if unread else ''}, the newest "
        f"{named} of {seconds(age)} ago at step {newest.ledger.steps:,}{left}"
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
