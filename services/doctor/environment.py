"""The settings: whether they can be read, and variables that were meant to be some."""

from __future__ import annotations

import difflib
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping

from services.doctor.finding import Finding, ok, refused, warn
from si_stream.errors import SettingsError
from si_stream.settings import LoadedSettings, Settings
from si_stream.settings.layers import PREFIX

NEAR_RATIO = 0.75  # SISTREAM_, SI_STREM_ and si_stream_ are; PYTHON_ and STREAM_ are not


def settings_of(load: Callable[[], LoadedSettings]) -> tuple[Settings | None, Finding]:
    """The settings, where they can be read, and what there is to say of that."""
    try:
        loaded = load()
    except SettingsError as error:
        return None, refused("settings: values", error)
    places = Counter(_kind(place) for place in loaded.places.values())
    parts = ", ".join(f"{count} from {place}" for place, count in places.items())
    return loaded.settings, ok("settings: values", parts or "all at their defaults")


def look(settings: Settings, environment: Mapping[str, str] = os.environ) -> Iterator[Finding]:
    try:
        settings.require_model()
    except SettingsError:
        yield warn(
            "settings: model",
            "it is not said what the model takes and gives, without which no learner starts",
            "--preset NAME, or model.input_shape and model.outputs; a predictor needs neither",
        )
    else:
        model = settings.model
        shape = " × ".join(map(str, model.input_shape))
        yield ok("settings: model", f"{model.name}: {model.dtype} {shape}, {model.width} labels")
    strangers = [name for name in environment if is_nearly_ours(name)]
    if strangers:
        yield warn(
            "settings: variables",
            f"{', '.join(sorted(strangers))} is set, and nothing here reads that",
            f"a setting's variable begins with {PREFIX}, as {PREFIX}MODEL__BATCH_SIZE",
        )
    else:
        count = sum(name.startswith(PREFIX) for name in environment)
        yield ok("settings: variables", f"{count} begin with {PREFIX}, all known")


def is_nearly_ours(name: str) -> bool:
    """Whether a variable was meant to begin with our prefix, and does not.

    >>> [is_nearly_ours(name) for name in ("SISTREAM_DATA", "si_stream_data", "SI_STREAM_DATA")]
    [True, True, False]
    >>> [is_nearly_ours(name) for name in ("STREAM", "SYSTEM_NAME", "UV_INDEX")]
    [False, False, False]
    """
    if name.startswith(PREFIX) or "_" not in name:
        return False
    start = name[: len(PREFIX)].upper()
    return difflib.SequenceMatcher(None, start, PREFIX).ratio() >= NEAR_RATIO


def _kind(place: str) -> str:
    if place.startswith(PREFIX):
        return "the environment"
    return "the command line" if place.startswith("--") else place
