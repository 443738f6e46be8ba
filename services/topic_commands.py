"""The commands `si-stream topics …`."""

from __future__ import annotations

from typing import Annotated

import typer

from services.flags import Broker, Changes, ConfigFile, Directory, Stream, load

topics = typer.Typer(
    no_args_is_help=True, help="The stream and that of its dead letters: make them, see them."
)


@topics.command("create")
def create_topics(
    context: typer.Context,
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

    settings = load(context).settings
    create_streams(settings, partitions)


@topics.command("add-partitions")
def add_partitions_to_topic(
    context: typer.Context,
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

    settings = load(context).settings
    add_partitions(settings, total)


@topics.command("show")
def show_topics(
    context: typer.Context,
    file: ConfigFile = None,
    changes: Changes = None,
    broker: Broker = None,
    stream: Stream = None,
    directory: Directory = None,
) -> None:
    """Their ids and size limits, and the low and the high offset of each partition."""
    from services.topics import show_streams

    settings = load(context).settings
    show_streams(settings)
