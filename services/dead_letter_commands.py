"""The commands `si-stream dead-letters …`."""

from __future__ import annotations

from typing import Annotated

import typer

from services.flags import Broker, Changes, ConfigFile, Directory, Stream, load
from si_stream.errors import Reason, SettingsError

dead_letters = typer.Typer(
    no_args_is_help=True, help="Messages that could not be learned from: see them, send them again."
)
OfReason = Annotated[
    Reason | None,
    typer.Option("--reason", help="Only of this reason; docs/wire-format.md says what each means."),
]
LETTER = "As `si-stream dead-letters list` names it."


@dead_letters.command("list")
def list_dead_letters(
    context: typer.Context,
    file: ConfigFile = None,
    changes: Changes = None,
    broker: Broker = None,
    stream: Stream = None,
    directory: Directory = None,
    reason: OfReason = None,
) -> None:
    """Each with its id, where it came from and what is wrong."""
    from services.dead_letters import list_letters

    settings = load(context).settings
    list_letters(settings, reason)


@dead_letters.command("show")
def show_dead_letter(
    context: typer.Context,
    letter_id: Annotated[str, typer.Argument(metavar="ID", help=LETTER)],
    file: ConfigFile = None,
    changes: Changes = None,
    broker: Broker = None,
    stream: Stream = None,
    directory: Directory = None,
) -> None:
    """What is known of it on stderr, the message's own bytes on stdout."""
    from services.dead_letters import show_letter

    settings = load(context).settings
    show_letter(settings, letter_id)


@dead_letters.command("resubmit")
def resubmit_dead_letters(
    context: typer.Context,
    letter_ids: Annotated[list[str] | None, typer.Argument(metavar="ID...", help=LETTER)] = None,
    file: ConfigFile = None,
    changes: Changes = None,
    broker: Broker = None,
    stream: Stream = None,
    directory: Directory = None,
    reason: OfReason = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All of them, or all of the --reason.")
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Also those that have been sent again before.")
    ] = False,
) -> None:
    """Send messages to the end of the stream again; a bad row without its neighbours."""
    from services.dead_letters import resubmit_letters

    if not letter_ids and not everything:
        raise SettingsError("name the ids of the letters to send again, or say --all")
    settings = load(context).settings
    resubmit_letters(settings, letter_ids or [], reason, again=again)
