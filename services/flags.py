"""The flags that stand for settings, and the settings that a command was given by them.

Invariant: a flag's parameter has the same name, and means the same setting, in every command.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from si_stream.errors import SettingsError
from si_stream.learning.presets import PRESETS
from si_stream.settings import LoadedSettings, Settings, load_with_places

USUAL = Settings()
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", envvar="SI_STREAM_CONFIG", help="Settings in TOML."),
]
Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Any setting, as in model.batch_size=32; may be repeated. `si-stream config` lists "
        "them all.",
    ),
]
Preset = Annotated[
    str | None, typer.Option(metavar="NAME", help=f"A benchmark's settings: {', '.join(PRESETS)}.")
]
Broker = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Where the stream lies: embedded:PATH/TO/FILE or kafka://HOST:PORT.",
        show_default="embedded:, broker.sqlite in the --directory",
    ),
]
Stream = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="The stream to learn from.", show_default=USUAL.stream.name),
]
Directory = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Of the model: its checkpoints, snapshots and events.",
        show_default=str(USUAL.directory),
    ),
]
Shadow = Annotated[
    Literal["off", "none"] | None,
    typer.Option(
        help="A second learner on the same samples. none: it has no consolidator, to see what "
        "Synaptic Intelligence saves; off: there is none.",
        show_default=USUAL.learner.shadow,
    ),
]
Device = Annotated[
    Literal["auto", "cpu", "cuda"] | None,
    typer.Option(
        help="Where the arithmetic is done; auto is a GPU where there is one.",
        show_default=USUAL.compute.device,
    ),
]
ExitAtEnd = Annotated[
    bool | None, typer.Option("--exit-at-end", help="Exit at the stream's end message.")
]
AcceptChanges = Annotated[
    bool | None,
    typer.Option(
        "--accept-changes",
        help="Go on with other settings of the optimiser or of detection, or another strength, "
        "damping, decay or trunk_rate, than the checkpoint's.",
    ),
]
Host = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="That the predictor answers on.",
        show_default=USUAL.predictor.host,
    ),
]
Port = Annotated[
    int | None,
    typer.Option(
        metavar="PORT",
        help="That the predictor answers on; to start one, 0 takes any free one.",
        show_default=str(USUAL.predictor.port),
    ),
]

Source = Annotated[
    str | None,
    typer.Option(
        metavar="DIR|URL",
        help="What to follow: a learner's directory, or a learner's address, of which a copy is "
        "kept in --directory.",
        show_default="the --directory",
    ),
]

# The flags that stand for a setting, by their parameter's name.
SETTING_OF = {
    "preset": "preset",
    "broker": "stream.broker",
    "stream": "stream.name",
    "directory": "directory",
    "shadow": "learner.shadow",
    "device": "compute.device",
    "exit_at_end": "learner.exit_at_end",
    "accept_changes": "learner.accept_changes",
    "host": "predictor.host",
    "port": "predictor.port",
    "source": "predictor.source",
}


def load(context: typer.Context, values: Mapping[str, Any] | None = None) -> LoadedSettings:
    """The settings of the command that runs.

    Args:
        context: holds the flags that it was given.
        values: the command's own, by dotted key; over file and environment, below the flags.

    Raises:
        SettingsError: a setting is unknown, or its value is refused.
    """
    overrides = dict(values or {})
    for change in context.params["changes"] or []:
        key, equals, value = change.partition("=")
        if not equals:
            raise SettingsError(f"--set {change}: not KEY=VALUE, as in --set model.batch_size=32")
        overrides[key.strip()] = value
    given = {
        name: value
        for name, value in context.params.items()
        if name in SETTING_OF and value is not None
    }
    overrides |= {SETTING_OF[name]: value for name, value in given.items()}
    names = {SETTING_OF[name]: f"--{name.replace('_', '-')}" for name in given}
    file = context.params["file"]  # still a text
    return load_with_places(Path(file) if file else None, overrides, names)
