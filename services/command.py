"""The command line `si-stream`: reads the settings and hands them to a process.

Nothing heavy is imported before a command runs, so that help comes at once; and an error
that a person can mend is one line on stderr and an exit code, never a traceback.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from services.exit_codes import INTERRUPTED, exit_code
from si_stream.errors import SettingsError, SIStreamError
from si_stream.learning.presets import PRESETS
from si_stream.settings import LoadedSettings, Settings, as_toml, load_settings, load_with_places
from simulators.command import simulate

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
    str | None, typer.Option(metavar="URL", help="Where the stream lies, as in embedded:PATH.")
]
Stream = Annotated[str | None, typer.Option(metavar="NAME", help="The stream to learn from.")]
Directory = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Of the model: its checkpoints, snapshots and events."),
]
Shadow = Annotated[
    Literal["off", "none"] | None,
    typer.Option(help="none: a second learner without consolidation, to see what SI saves."),
]
Device = Annotated[
    Literal["auto", "cpu", "cuda"] | None, typer.Option(help="Where the arithmetic is done.")
]
ExitAtEnd = Annotated[
    bool | None, typer.Option("--exit-at-end", help="Exit at the stream's end message.")
]
AcceptChanges = Annotated[
    bool | None,
    typer.Option(
        "--accept-changes",
        help="Go on with another learning rate, strength or damping than the checkpoint's.",
    ),
]
Host = Annotated[str | None, typer.Option(metavar="ADDRESS", help="To answer requests on.")]
Port = Annotated[
    int | None, typer.Option(metavar="PORT", help="To answer requests on; 0 takes any free one.")
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
}

app = typer.Typer(
    name="si-stream",
    invoke_without_command=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"si-stream {version('si-stream')}")
        raise typer.Exit


@app.callback()
def si_stream(
    context: typer.Context,
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print it."),
    ] = False,
) -> None:
    """Learn a classifier from a stream whose tasks change, without forgetting the old ones.

    `si-stream demo` shows all of it in one command. Settings come from a preset, a TOML file,
    the environment (as SI_STREAM_MODEL__BATCH_SIZE) and the command line, later over earlier.
    """
    if context.invoked_subcommand is None:
        print(context.get_help())
    elif context.invoked_subcommand == "simulate":  # sends where the same settings let others read
        settings = load_settings(_config_file_from_environment())
        stream, context.obj = settings.stream, settings.kafka
        context.default_map = {"simulate": {"broker": stream.broker, "stream": stream.name}}


@app.command()
def demo(
    file: ConfigFile = None,
    changes: Changes = None,
    directory: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="To leave everything in.",
            show_default="a temporary one, of which the picture stays",
        ),
    ] = None,
    device: Device = None,
    port: Port = None,
    scenario: Annotated[
        Literal["split-mnist", "split-digits"] | None,
        typer.Option(
            help="What is learned.",
            show_default="split-mnist; where MNIST cannot be had, split-digits",
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            min=1, help="Passes over each task's samples.", show_default="split-mnist 2, digits 20"
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, help="Of the first weights and of the samples' order.")
    ] = 0,
    keep_running: Annotated[
        bool, typer.Option("--keep-running", help="Go on serving when the demo is over.")
    ] = False,
) -> None:
    """Show all of it: five tasks learned in turn, with and without Synaptic Intelligence."""

    def settings_with(values: Mapping[str, Any]) -> Settings:
        return _load(file, changes, values, device=device, port=port).settings

    from services.demo import run

    run(
        settings_with,
        scenario=scenario,
        epochs=epochs,
        seed=seed,
        directory=directory,
        keep_running=keep_running,
    )


@app.command()
def serve(
    file: ConfigFile = None,
    changes: Changes = None,
    preset: Preset = None,
    broker: Broker = None,
    stream: Stream = None,
    directory: Directory = None,
    shadow: Shadow = None,
    device: Device = None,
    accept_changes: AcceptChanges = None,
    host: Host = None,
    port: Port = None,
) -> None:
    """Learn and answer: a learner and a predictor, as two processes."""
    settings = _load(
        file,
        changes,
        preset=preset,
        broker=broker,
        stream=stream,
        directory=directory,
        shadow=shadow,
        device=device,
        accept_changes=accept_changes,
        host=host,
        port=port,
    ).settings
    settings.require_model()  # before torch takes its second to load
    from services.serve import run

    run(settings)


@app.command()
def learner(
    file: ConfigFile = None,
    changes: Changes = None,
    preset: Preset = None,
    broker: Broker = None,
    stream: Stream = None,
    directory: Directory = None,
    shadow: Shadow = None,
    device: Device = None,
    exit_at_end: ExitAtEnd = None,
    accept_changes: AcceptChanges = None,
) -> None:
    """Learn from the stream; go on from the newest checkpoint in the directory."""
    settings = _load(
        file,
        changes,
        preset=preset,
        broker=broker,
        stream=stream,
        directory=directory,
        shadow=shadow,
        device=device,
        exit_at_end=exit_at_end,
        accept_changes=accept_changes,
    ).settings
    settings.require_model()  # before torch takes its second to load
    from services.learner import run

    run(settings)


@app.command()
def predictor(
    file: ConfigFile = None,
    changes: Changes = None,
    directory: Directory = None,
    host: Host = None,
    port: Port = None,
) -> None:
    """Answer over HTTP from the newest snapshot in the directory."""
    settings = _load(file, changes, directory=directory, host=host, port=port).settings
    from services.predictor import run

    run(settings)


app.command("simulate")(simulate)

dead_letters = typer.Typer(
    no_args_is_help=True, help="Messages that could not be learned from: see them, send them again."
)
app.add_typer(dead_letters, name="dead-letters")
OfReason = Annotated[
    str | None, typer.Option("--reason", metavar="REASON", help="Only of this reason.")
]


@dead_letters.command("list")
def list_dead_letters(
    file: ConfigFile = None,
    changes: Changes = None,
    broker: Broker = None,
    stream: Stream = None,
    directory: Directory = None,
    reason: OfReason = None,
) -> None:
    """Each with its id, where it came from and what is wrong."""
    from services.dead_letters import list_letters

    settings = _load(file, changes, broker=broker, stream=stream, directory=directory).settings
    list_letters(settings, reason)


@dead_letters.command("show")
def show_dead_letter(
    letter_id: Annotated[str, typer.Argument(metavar="ID")],
    file: ConfigFile = None,
    changes: Changes = None,
    broker: Broker = None,
    stream: Stream = None,
    directory: Directory = None,
) -> None:
    """What is known of it on stderr, the message's own bytes on stdout."""
    from services.dead_letters import show_letter

    settings = _load(file, changes, broker=broker, stream=stream, directory=directory).settings
    show_letter(settings, letter_id)


@dead_letters.command("resubmit")
def resubmit_dead_letters(
    letter_ids: Annotated[list[str] | None, typer.Argument(metavar="ID...")] = None,
    file: ConfigFile = None,
    changes: Changes = None,
    broker: Broker = None,
    stream: Stream = None,
    directory: Directory = None,
    reason: OfReason = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All of them, or all of the --reason.")
    ] = False,
) -> None:
    """Send messages to the end of the stream again; a bad row without its neighbours."""
    from services.dead_letters import resubmit_letters

    if not letter_ids and not everything:
        raise SettingsError("name the ids of the letters to send again, or say --all")
    settings = _load(file, changes, broker=broker, stream=stream, directory=directory).settings
    resubmit_letters(settings, letter_ids or [], reason)


topics = typer.Typer(
    no_args_is_help=True, help="The stream and that of its dead letters: make them, see them."
)
app.add_typer(topics, name="topics")


@topics.command("create")
def create_topics(
    file: ConfigFile = None,
    changes: Changes = None,
    broker: Broker = None,
    stream: Stream = None,
    directory: Directory = None,
    partitions: Annotated[
        int | None,
        typer.Option(
            min=1, max=1000, help="Of the stream.", show_default="1, or as many as it has"
        ),
    ] = None,
) -> None:
    """Make what is missing of them, as `stream.max_message_bytes` and `kafka.*` say."""
    from services.topics import create_streams

    settings = _load(file, changes, broker=broker, stream=stream, directory=directory).settings
    create_streams(settings, partitions)


@topics.command("add-partitions")
def add_partitions_to_topic(
    total: Annotated[
        int, typer.Argument(metavar="TOTAL", min=1, max=1000, help="As many as there shall be.")
    ],
    file: ConfigFile = None,
    changes: Changes = None,
    broker: Broker = None,
    stream: Stream = None,
    directory: Directory = None,
) -> None:
    """Give the stream more partitions; a running learner needs no restart."""
    from services.topics import add_partitions

    settings = _load(file, changes, broker=broker, stream=stream, directory=directory).settings
    add_partitions(settings, total)


@topics.command("show")
def show_topics(
    file: ConfigFile = None,
    changes: Changes = None,
    broker: Broker = None,
    stream: Stream = None,
    directory: Directory = None,
) -> None:
    """Their ids and size limits, and the low and the high offset of each partition."""
    from services.topics import show_streams

    settings = _load(file, changes, broker=broker, stream=stream, directory=directory).settings
    show_streams(settings)


@app.command()
def config(
    file: ConfigFile = None,
    changes: Changes = None,
    preset: Preset = None,
    broker: Broker = None,
    stream: Stream = None,
    directory: Directory = None,
    shadow: Shadow = None,
    device: Device = None,
    exit_at_end: ExitAtEnd = None,
    accept_changes: AcceptChanges = None,
    host: Host = None,
    port: Port = None,
) -> None:
    """Print the effective settings as TOML, and where each comes from; passwords masked."""
    loaded = _load(
        file,
        changes,
        preset=preset,
        broker=broker,
        stream=stream,
        directory=directory,
        shadow=shadow,
        device=device,
        exit_at_end=exit_at_end,
        accept_changes=accept_changes,
        host=host,
        port=port,
    )
    print(as_toml(loaded.settings, loaded.places))


def _load(
    file: Path | None,
    changes: list[str] | None,
    values: Mapping[str, Any] | None = None,
    **flags: Any,
) -> LoadedSettings:
    """The settings, with a command's own values over file and environment."""
    overrides = dict(values or {})
    for change in changes or []:
        key, equals, value = change.partition("=")
        if not equals:
            raise SettingsError(f"--set {change}: not KEY=VALUE, as in --set model.batch_size=32")
        overrides[key.strip()] = value
    given = {name: value for name, value in flags.items() if value is not None}
    overrides |= {SETTING_OF[name]: value for name, value in given.items()}
    names = {SETTING_OF[name]: f"--{name.replace('_', '-')}" for name in given}
    return load_with_places(file, overrides, names)


def _config_file_from_environment() -> Path | None:
    name = os.environ.get("SI_STREAM_CONFIG")
    return Path(name) if name else None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; see `services.exit_codes`."""
    try:
        code: int | None = app(arguments, prog_name="si-stream", standalone_mode=False)
    except typer.TyperException as error:
        return _complain(error.format_message(), error.exit_code)
    except (SIStreamError, OSError) as error:
        return _complain(str(error), exit_code(error))
    if code == INTERRUPTED:
        return _complain("interrupted", code)
    return code or 0


def _complain(message: str, code: int) -> int:
    print(f"si-stream: {' '.join(message.split())}", file=sys.stderr)
    return code
