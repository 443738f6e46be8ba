"""The command line `si-stream`: reads the settings and hands them to a process.

Nothing heavy is imported before a command runs, so that help comes at once; and an error
that a person can mend is one line on stderr and an exit code, never a traceback.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from services.dead_letter_commands import dead_letters
from services.exit_codes import INTERRUPTED, exit_code
from services.flags import (
    AcceptChanges,
    Broker,
    Changes,
    ConfigFile,
    Device,
    Directory,
    ExitAtEnd,
    Host,
    Port,
    Preset,
    Shadow,
    Source,
    Stream,
    load,
)
from services.topic_commands import topics
from si_stream.errors import SIStreamError
from si_stream.settings import Settings, as_toml, load_settings
from simulators.command import simulate
from simulators.reproductions.command import reproduce

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
    context: typer.Context,
    file: ConfigFile = None,
    changes: Changes = None,
    place: Annotated[
        Path | None,
        typer.Option(
            "--directory",
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
        return load(context, values).settings

    from services.demo import run

    run(
        settings_with,
        scenario=scenario,
        epochs=epochs,
        seed=seed,
        directory=place,
        keep_running=keep_running,
    )


@app.command()
def serve(
    context: typer.Context,
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
    settings = load(context).settings
    settings.require_model()  # before torch takes its second to load
    from services.serve import run

    run(settings)


@app.command()
def learner(
    context: typer.Context,
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
    settings = load(context).settings
    settings.require_model()  # before torch takes its second to load
    from services.learner import run

    run(settings)


@app.command()
def predictor(
    context: typer.Context,
    file: ConfigFile = None,
    changes: Changes = None,
    directory: Directory = None,
    source: Source = None,
    host: Host = None,
    port: Port = None,
) -> None:
    """Answer over HTTP from the newest snapshot of a learner, here or on another machine."""
    settings = load(context).settings
    from services.predictor import run

    run(settings)


app.command("simulate")(simulate)
app.add_typer(reproduce, name="reproduce")
app.add_typer(dead_letters, name="dead-letters")
app.add_typer(topics, name="topics")


@app.command("checkpoints")
def list_checkpoints(
    context: typer.Context,
    file: ConfigFile = None,
    changes: Changes = None,
    directory: Directory = None,
) -> None:
    """The checkpoints there are, each with its position in the stream."""
    from services.checkpoint_list import print_checkpoints

    print_checkpoints(load(context).settings.directory)


@app.command()
def rollback(
    context: typer.Context,
    to: Annotated[
        str,
        typer.Option(
            "--to", metavar="CHECKPOINT", help="As `si-stream checkpoints` names it, 3/17 say."
        ),
    ],
    resume_at: Annotated[
        str | None,
        typer.Option(
            metavar="POSITION",
            help="To pass over what did the harm: latest, earliest or PARTITION:OFFSET.ROW[,…].",
            show_default="the checkpoint's own",
        ),
    ] = None,
    file: ConfigFile = None,
    changes: Changes = None,
    broker: Broker = None,
    stream: Stream = None,
    directory: Directory = None,
) -> None:
    """Go back to an older checkpoint: weights and position together; predictors follow.

    A learner that runs stops with an error; the next start goes on from there.
    """
    settings = load(context).settings
    from services.rollback import run

    run(settings, to, resume_at)


@app.command()
def config(
    context: typer.Context,
    file: ConfigFile = None,
    changes: Changes = None,
    preset: Preset = None,
    broker: Broker = None,
    stream: Stream = None,
    directory: Directory = None,
    source: Source = None,
    shadow: Shadow = None,
    device: Device = None,
    exit_at_end: ExitAtEnd = None,
    accept_changes: AcceptChanges = None,
    host: Host = None,
    port: Port = None,
) -> None:
    """Print the effective settings as TOML, and where each comes from; passwords masked."""
    loaded = load(context)
    print(as_toml(loaded.settings, loaded.places))


AsJson = Annotated[bool, typer.Option("--json", help="As JSON, for scripts.")]


@app.command()
def doctor(
    context: typer.Context,
    file: ConfigFile = None,
    changes: Changes = None,
    preset: Preset = None,
    broker: Broker = None,
    stream: Stream = None,
    directory: Directory = None,
    source: Source = None,
    shadow: Shadow = None,
    device: Device = None,
    accept_changes: AcceptChanges = None,
    host: Host = None,
    port: Port = None,
    as_json: AsJson = False,
) -> None:
    """Look at all that a learner and a predictor need, and say what to do about what is wrong.

    Settings, network, directory, disk, broker, clock, certificates, ports, CPU, GPU, kernel, data
    sets. Nothing is changed. Give it the same settings as the process that fails. Exits with 1
    where something does not work.
    """
    from services.doctor import run

    if not run(lambda: load(context), as_json=as_json):
        raise typer.Exit(1)


@app.command()
def status(
    context: typer.Context,
    file: ConfigFile = None,
    changes: Changes = None,
    directory: Directory = None,
    source: Source = None,
    url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Of the learner, as http://HOST:9101, where its directory is on another machine.",
        ),
    ] = None,
    predictor_url: Annotated[
        str | None,
        typer.Option(
            "--predictor",
            metavar="URL",
            help="Of a predictor that must answer.",
            show_default="the settings' address, if one answers there",
        ),
    ] = None,
    as_json: AsJson = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Again each second, until Ctrl-C.")
    ] = False,
) -> None:
    """How the service is: its learner, its predictor, and what the model knows of each task.

    Exits with 0 where the learner is at work and the predictor can answer, with 1 otherwise.
    """
    settings = load(context).settings
    from services.status import run

    if not run(settings, url, predictor_url, as_json=as_json, watch=watch):
        raise typer.Exit(1)


@app.command()
def health(
    context: typer.Context,
    file: ConfigFile = None,
    changes: Changes = None,
    host: Host = None,
    port: Port = None,
    of_learner: Annotated[bool, typer.Option("--learner", help="Only the learner.")] = False,
    of_predictor: Annotated[bool, typer.Option("--predictor", help="Only the predictor.")] = False,
    ready: Annotated[
        bool, typer.Option("--ready", help="The predictor must have a snapshot to answer from.")
    ] = False,
) -> None:
    """Whether learner and predictor answer at the settings' addresses: for health checks.

    Exits with 0 where they do, with 1 otherwise. A learner that waits for its broker is well, and
    so is a predictor that waits for a first snapshot: no restart would mend that.
    """
    settings = load(context).settings
    from services.health import check

    if not check(settings, learner=of_learner, predictor=of_predictor, ready=ready):
        raise typer.Exit(1)


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
    from services.logs import complain

    complain(message, code)
    return code
