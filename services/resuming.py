"""Going on from a checkpoint: only of the same model, and with the same settings or on purpose.

Invariant: a checkpoint that is refused has changed nothing.
"""

from __future__ import annotations

import logging
from typing import Any

from si_stream.boundaries.options import DetectionOptions
from si_stream.checkpoints.copies import arithmetic, learning_settings
from si_stream.checkpoints.store import Checkpoint, Manifest
from si_stream.errors import IdentityMismatch
from si_stream.learning.options import ConsolidatorOptions
from si_stream.settings import Settings
from si_stream.settings.layers import flattened
from si_stream.state import State

logger = logging.getLogger(__name__)
UNTOLD: dict[str, Any] = {  # as of checkpoints from before there were these settings
    **dict(flattened({"consolidator": ConsolidatorOptions().model_dump()})),
    **dict(flattened({"detection": DetectionOptions().model_dump(mode="json")})),
    "detection.signals": ["errors"],
    "detection.returning": False,
}


def resume_from(checkpoint: Checkpoint, state: State) -> bool:
    """Take a checkpoint's place, and note what was changed on purpose since.

    Returns whether the stream was made anew since.

    Raises:
        IdentityMismatch: it is another model's, or its learning settings were others and
            `learner.accept_changes` is not set.
    """
    changed = changes(checkpoint.manifest, state.settings)
    _require_same_model(checkpoint, state)
    _require_leave_to_change(changed, state)
    _warn_of_other_arithmetic(checkpoint, state)
    manifest = checkpoint.manifest
    try:
        state.resume(manifest.ledger, manifest.measures, checkpoint.tensors)
    except ValueError as error:  # a module of one's own, say, that is no longer what it was
        raise IdentityMismatch(
            f"the checkpoint in {state.settings.directory} does not fit this network: {error}; "
            "start with the network that it was learned with, or give this model a "
            "--directory of its own"
        ) from error
    state.holdouts.sets = checkpoint.holdouts
    if changed:
        ledger = state.ledger
        ledger.changes.append({"position": dict(ledger.position), "changes": changed})
        logger.info("changed on purpose: %s", "; ".join(changed))
    return state.identity.stream_id != manifest.identity.stream_id


def changes(manifest: Manifest, settings: Settings) -> list[str]:
    """Learning settings that differ from the checkpoint's, one ``key: now, not before`` each."""
    before = UNTOLD | dict(flattened(manifest.learning))
    now = dict(flattened(learning_settings(settings)))
    changed = {key: value for key, value in now.items() if value != before.get(key)}
    if now["detection.kind"] == before["detection.kind"] == "off":  # the others do nothing
        changed = {key: value for key, value in changed.items() if not key.startswith("detection.")}
    return [f"{key}: {value!r}, not {before.get(key)!r}" for key, value in changed.items()]


def _require_same_model(checkpoint: Checkpoint, state: State) -> None:
    stream, before = state.settings.stream, checkpoint.manifest.identity
    differences = state.identity.differences(before)
    if [one.partition(":")[0] for one in differences] == ["stream_id"]:
        if stream.out_of_range == "fail":
            raise IdentityMismatch(
                f"stream {stream.name!r} at {stream.broker} is not the one that the checkpoint in "
                f"{state.settings.directory} was learned from (stream_id: "
                f"{state.identity.stream_id}, not {before.stream_id}): another broker, or it was "
                "deleted and made anew. Start with that one, or learn on from this one: with its "
                "oldest message (--set stream.out_of_range=earliest) or the next to come (latest)"
            )
    elif differences:
        raise IdentityMismatch(
            f"the checkpoint in {state.settings.directory} is of another model "
            f"({'; '.join(differences)}); start with its settings, or give this model a "
            "--directory of its own"
        )


def _require_leave_to_change(changed: list[str], state: State) -> None:
    if changed and not state.settings.learner.accept_changes:
        raise IdentityMismatch(
            f"the checkpoint in {state.settings.directory} was learned with other settings "
            f"({'; '.join(changed)}); start with them, or change them on purpose with "
            "--accept-changes"
        )


def _warn_of_other_arithmetic(checkpoint: Checkpoint, state: State) -> None:
    now = arithmetic(state)
    for key, was in checkpoint.manifest.arithmetic.items():
        if now.get(key) != was:
            logger.warning(
                "the checkpoint was learned with %s %s, this is %s: what follows is right, "
                "but not bit for bit what it would have been there",
                *(key, was, now.get(key)),
            )
