"""Groups: the settings of a learner that decide a run, in a catalogue and in a record.

Invariant: what is recorded is the whole of each group, so that a setting whose default changes
makes another run of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from si_stream.errors import SettingsError
from si_stream.settings import Settings

GROUPS = ("model", "optimiser", "consolidator", "compute", "boundaries", "detection", "holdout")


def settings_of(groups: Mapping[str, Any], seed: int, device: str, owner: str) -> Settings:
    """Of a learner that is born with this seed.

    Args:
        owner: what asks for them, for people.

    Raises:
        SettingsError: this version has no such setting.
    """
    seeded = {**groups, "model": {**groups["model"], "seed": seed}}
    try:
        return Settings.model_validate({**seeded, "compute": {"device": device}})
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()
        )
        raise SettingsError(
            f"{owner} asks for what this version has not ({wrong}): leave it out, naming the others"
        ) from error


def groups_of(settings: Settings) -> dict[str, Any]:
    """As they stand in a record."""
    dumped = settings.model_dump(mode="json")
    return {name: dumped[name] for name in GROUPS}
