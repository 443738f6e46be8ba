"""Reads the layers of settings and puts the higher over the lower.

Each value keeps its place, the file, variable or flag that a person would change, so every
complaint names it. A key that the tree does not know is refused in every layer.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import EnvSettingsSource, InitSettingsSource, PydanticBaseSettingsSource

from si_stream.errors import SettingsError
from si_stream.learning.presets import PRESETS
from si_stream.settings.show import masked
from si_stream.settings.tree import Settings

PREFIX = "SI_STREAM_"
NOT_SETTINGS = {
    "SI_STREAM_CONFIG",  # names the file
    "SI_STREAM_REQUIRE_REAL",  # read by the tests: fail where a data set is missing
}


class LoadedSettings(NamedTuple):
    """The effective settings, and the place of each that is not a default, by dotted key."""

    settings: Settings
    places: Mapping[str, str]


@dataclass(frozen=True)
class Layer:
    """Values by dotted key, and the place of each; a text may stand for any type."""

    values: Mapping[str, Any]
    places: Mapping[str, str]

    def sources(self) -> Iterator[PydanticBaseSettingsSource]:
        texts = {key: value for key, value in self.values.items() if isinstance(value, str)}
        others = {key: value for key, value in self.values.items() if key not in texts}
        yield TextSource(texts)
        yield InitSettingsSource(Settings, nested(others))


class TextSource(EnvSettingsSource):
    """Texts by dotted key, read as pydantic-settings reads environment variables."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts
        super().__init__(Settings, env_prefix="", env_nested_delimiter=".")

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return self._texts

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        """The list in a text, bare (28,28 or errors,inputs), in brackets or as JSON; what cannot be
        read is validated."""
        parts = (part.strip(" \"'") for part in value.strip().strip("[]()").split(","))
        return [part for part in parts if part]


def load_settings(
    file: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    flags: Mapping[str, str] | None = None,
) -> Settings:
    """The effective settings.

    Args:
        file: TOML; none is looked for by itself.
        overrides: the highest layer, from dotted key to a text or a value.
        flags: for overrides that have a flag of their own, its name, to be used in messages.

    Raises:
        SettingsError: one line that names the place, the value, the limit and what to do.
    """
    return load_with_places(file, overrides, flags).settings


def load_with_places(
    file: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    flags: Mapping[str, str] | None = None,
) -> LoadedSettings:
    """As `load_settings`, with the place of each value."""
    layers = [_file_layer(file)] if file else []
    layers += [_environment_layer(os.environ), _command_line_layer(overrides or {}, flags or {})]
    for layer in layers:
        for key, value in layer.values.items():
            _require_known(key, value, layer.places[key])

    presets = [layer.values["preset"] for layer in layers if "preset" in layer.values]
    if presets and presets[-1] in tuple(PRESETS):  # another is refused by the tree
        layers.insert(0, _preset_layer(presets[-1]))

    places = {key: place for layer in layers for key, place in layer.places.items()}
    sources = tuple(source for layer in reversed(layers) for source in layer.sources())
    try:
        return LoadedSettings(Settings(_build_sources=(sources, {})), places)
    except ValidationError as error:
        raise SettingsError(_first_complaint(error, places)) from None


def _preset_layer(name: str) -> Layer:
    values = dict(flattened(PRESETS[name]))
    return Layer(values, dict.fromkeys(values, f"preset {name}"))


def _file_layer(path: Path) -> Layer:
    try:
        values = dict(flattened(tomllib.loads(path.read_text(encoding="utf-8"))))
    except OSError as error:
        raise SettingsError(f"cannot read the settings file {path}: {error.strerror}") from None
    except ValueError as error:  # TOMLDecodeError, UnicodeDecodeError
        raise SettingsError(f"the settings file {path} is not TOML: {error}") from None
    return Layer(values, dict.fromkeys(values, str(path)))


def _environment_layer(environment: Mapping[str, str]) -> Layer:
    """An empty variable is one that is not set, as in a shell's ${NAME:-}."""
    names = {
        name.removeprefix(PREFIX).lower().replace("__", "."): name
        for name, text in environment.items()
        if name.startswith(PREFIX) and name not in NOT_SETTINGS and text
    }
    return Layer({key: environment[name] for key, name in names.items()}, names)


def _command_line_layer(overrides: Mapping[str, Any], flags: Mapping[str, str]) -> Layer:
    return Layer(overrides, {key: flags.get(key, "--set") for key in overrides})


def flattened(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Values by dotted key; a group that holds nothing stands for itself."""
    for name, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from flattened(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for key, value in values.items():
        *groups, name = key.split(".")
        branch = tree
        for group in groups:
            branch = branch.setdefault(group, {})
        branch[name] = value
    return tree


def _known_keys(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, bool]]:
    """Each, and whether it is secret."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _known_keys(field.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", SecretStr in get_args(field.annotation)


_SECRET = dict(_known_keys(Settings))
KNOWN_KEYS = tuple(_SECRET)
SECRET_KEYS = frozenset(key for key, is_secret in _SECRET.items() if is_secret)


def _require_known(key: str, value: Any, place: str) -> None:
    if key in KNOWN_KEYS:
        return
    if members := [known for known in KNOWN_KEYS if known.startswith(f"{key}.")]:
        if value == {}:
            return
        raise SettingsError(
            f"{key} ({place}) is a group of settings, not one: set {', '.join(members)}"
        )
    by_name = {known.rpartition(".")[2]: known for known in KNOWN_KEYS}
    near = difflib.get_close_matches(key, KNOWN_KEYS, n=1) or [
        by_name[name] for name in difflib.get_close_matches(key.rpartition(".")[2], by_name, n=1)
    ]
    advice = f"did you mean {near[0]}?" if near else "`si-stream config` lists all settings"
    raise SettingsError(f"unknown setting {key} ({place}): {advice}")


def _first_complaint(error: ValidationError, places: Mapping[str, str]) -> str:
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    key = max((known for known in KNOWN_KEYS if where.startswith(known)), key=len, default=where)
    limit = re.sub(r"^(Value error, |(Input|String) (?=should))", "", first["msg"])
    if isinstance(first["input"], Mapping):  # of a whole group, which may hold a secret
        return f"{key}: {limit}"
    value = masked(str(first["input"]))
    if key in SECRET_KEYS:
        value, limit = "***", limit.replace("items after validation", "characters")
    return f"{key} = {value!r} ({places.get(key, 'default')}): {limit}"
