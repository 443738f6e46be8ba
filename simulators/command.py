"""`si-stream simulate`: one scenario, replayed onto one stream of a broker.

Importing this module is cheap; data sets and brokers are imported when the command runs.
"""

from __future__ import annotations

import math
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from si_stream.errors import SettingsError
from simulators.options import (
    Again,
    Boundaries,
    Codec,
    LabelSpace,
    ReplayOptions,
    ScenarioName,
)
from simulators.stopping import caught_signals

if TYPE_CHECKING:
    from si_stream.brokers.options import KafkaOptions
    from simulators.scenarios import Scenario

TASKS, CHANGES = "Tasks", "How the world changes"


def simulate(
    context: typer.Context,
    scenario: Annotated[
        ScenarioName | None,
        typer.Argument(
            metavar="SCENARIO",
            help="split-mnist, split-digits: 5 tasks of 2 digits. split-cifar: CIFAR-10, then "
            "CIFAR-100 by ten classes. permuted-mnist, permuted-digits: 10 digits, their pixels in "
            "another order in each task. rotated-…: 5 tasks, turned by 45 degrees more each. "
            "inverted-…: as they are, then dark for light. contrast-…: 4 tasks, of 100, 40, 20 and "
            "10 per cent. stationary-…: one task. These four of -mnist, -cifar10 or -digits. The "
            "digits are scikit-learn's, 8 x 8 pixels and no download. Leave it out with --data.",
        ),
    ] = None,
    *,
    broker: Annotated[
        str,
        typer.Option(
            metavar="URL", help="Where to send them: embedded:PATH/TO/FILE or kafka://HOST:PORT."
        ),
    ] = "embedded:si-stream-data/broker.sqlite",
    stream: Annotated[str, typer.Option(help="The stream; made where it does not exist.")] = (
        "samples"
    ),
    epochs: Annotated[int, typer.Option(min=1, help="Passes over each task's samples.")] = 1,
    samples_per_message: Annotated[
        int, typer.Option(min=1, max=65_536, help="Samples in one message.")
    ] = 128,
    partitions: Annotated[
        int,
        typer.Option(
            min=1, max=1000, help="Of the stream: samples go to one after the other, in turn."
        ),
    ] = 1,
    rate: Annotated[
        float | None,
        typer.Option(help="Samples a second.", show_default="as fast as the broker takes them"),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, help="The same seed sends the same bytes, in the same order.")
    ] = 0,
    task_count: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Only the first so many tasks; for permuted, how many there are.",
            show_default="all; permuted 10",
            rich_help_panel=TASKS,
        ),
    ] = None,
    order: Annotated[
        str | None,
        typer.Option(
            help="Which tasks come when, by letters: ABACB is the first, the second, the first "
            "again, and so on.",
            show_default="each once",
            rich_help_panel=TASKS,
        ),
    ] = None,
    again: Annotated[
        Again,
        typer.Option(
            help="A task of --order that comes again shows the same training samples, or other "
            "ones: each visit then has a share of them.",
            rich_help_panel=TASKS,
        ),
    ] = "same",
    samples_per_task: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="At most so many training samples each time a task comes, for each epoch.",
            show_default="all",
            rich_help_panel=TASKS,
        ),
    ] = None,
    labels: Annotated[
        LabelSpace,
        typer.Option(
            help="local: each task's labels count from 0. global: each class of the stream has a "
            "label, tasks add labels, and the model needs as many outputs, or model.labels = open; "
            "with one head for all tasks that is class-incremental.",
            rich_help_panel=TASKS,
        ),
    ] = "local",
    boundaries: Annotated[
        Boundaries,
        typer.Option(
            help="announced: samples name their task, and a boundary message follows each task. "
            "silent: nothing tells one task from the next, and one message may hold both; held-out "
            "samples then go to whichever task is active, so --no-holdout goes well with it.",
            rich_help_panel=CHANGES,
        ),
    ] = "announced",
    boundary_jitter_samples: Annotated[
        int,
        typer.Option(
            min=0,
            help="Each task but the last ends up to so many training samples early, by the seed.",
            rich_help_panel=CHANGES,
        ),
    ] = 0,
    drift_samples: Annotated[
        int,
        typer.Option(
            min=0,
            help="The next task's share rises from 0 to 1 over so many training samples; its "
            "beginning is the boundary. 0 is a sudden change.",
            rich_help_panel=CHANGES,
        ),
    ] = 0,
    label_noise: Annotated[
        float,
        typer.Option(
            help="Share, 0 to 1, of training samples with another of their task's labels; drawn "
            "anew each epoch, so that it is an error floor.",
            rich_help_panel=CHANGES,
        ),
    ] = 0.0,
    holdout: Annotated[
        bool,
        typer.Option(help="Send each task's test samples, never to be trained on, before it."),
    ] = True,
    holdout_samples_per_task: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="At most so many holdout samples a task.",
            show_default="the whole test set",
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Your own .npz file instead of SCENARIO: images, uint8 or float32, labels, "
            "one integer each, and test_images and test_labels if you have them.",
            rich_help_panel=TASKS,
        ),
    ] = None,
    tasks: Annotated[
        str | None,
        typer.Option(
            help='With --data: the labels of each task, as in "0,1/2,3/4,5".',
            rich_help_panel=TASKS,
        ),
    ] = None,
    codec: Annotated[
        Codec, typer.Option(help="arrow is fast; json can be read by a person.")
    ] = "arrow",
    end: Annotated[
        bool, typer.Option(help="Close with an end message, at which a learner may exit.")
    ] = True,
) -> None:
    """Replay a data set as a stream of tasks, one after the other or again and again.

    Data sets are looked for in the directory SI_STREAM_DATA, laid out as torchvision does,
    and downloaded where they are missing. Stopped by Ctrl-C or SIGTERM it finishes the batch
    at hand and exits with 128 and the signal's number.
    """
    if rate is not None and not 0 < rate < math.inf:
        raise SettingsError(
            f"--rate {rate:g} is no pace: give samples a second above 0, or leave it out"
        )
    if not 0 <= label_noise <= 1:
        raise SettingsError(f"--label-noise {label_noise:g} is no share: give one from 0 to 1")
    options = ReplayOptions(
        epochs_per_task=epochs,
        samples_per_message=samples_per_message,
        partitions=partitions,
        rate_samples_per_second=rate,
        seed=seed,
        boundaries=boundaries,
        boundary_jitter_samples=boundary_jitter_samples,
        drift_samples=drift_samples,
        label_noise=label_noise,
        holdout=holdout,
        holdout_samples_per_task=holdout_samples_per_task,
        codec=codec,
        end=end,
    )
    from simulators.labels import globally_labelled
    from simulators.sequences import sequenced

    chosen = _chosen_scenario(scenario, data, tasks, seed, task_count)
    if labels == "global":
        chosen = globally_labelled(chosen)
    chosen = sequenced(chosen, order, again=again, samples_per_task=samples_per_task, seed=seed)
    caught = _send(chosen, options, broker, stream, context.obj)
    if caught:
        raise typer.Exit(128 + caught)


def _chosen_scenario(
    name: ScenarioName | None,
    data: Path | None,
    tasks: str | None,
    seed: int,
    task_count: int | None,
) -> Scenario:
    from simulators.scenarios import load_own_scenario, load_scenario

    if (name is None) == (data is None):
        raise SettingsError("name a scenario or your own --data, one of the two; see --help")
    if (data is None) != (tasks is None):
        raise SettingsError('--data and --tasks go together: --data FILE.npz --tasks "0,1/2,3"')
    if data is not None and tasks is not None:
        return load_own_scenario(data, tasks, task_count=task_count)
    assert name is not None
    return load_scenario(name, seed=seed, task_count=task_count)


def _send(
    scenario: Scenario,
    options: ReplayOptions,
    url: str,
    stream: str,
    kafka: KafkaOptions | None,
) -> int:
    """Replay and say so in a line; the signal that stopped it, or 0."""
    from si_stream.brokers import open_broker
    from simulators.progress import shown_progress
    from simulators.replay import replay, sample_count
    from simulators.stretches import true_boundaries

    total = sample_count(scenario, options)
    with open_broker(url, kafka) as broker, caught_signals() as caught:
        broker.create_stream(stream, options.partitions)
        marks = [broker.watermarks(stream, number) for number in range(options.partitions)]
        if any(high > low for low, high in marks):
            _say(
                f"stream {stream!r} is not empty: a boundary under an event id that it holds "
                f"already, from the same scenario and seed, will do nothing"
            )
        count = len({task.name for task in scenario.tasks})
        _say(f"{scenario.name}: {count} tasks, {total:,} samples, to {stream!r}")
        if options.boundaries == "silent" and (changes := true_boundaries(scenario, options)):
            places = ", ".join(f"{place:,}" for place in changes)
            _say(f"unannounced, another task begins at training sample {places}, counted from 0")
        started = time.monotonic()
        with shown_progress(total) as show:
            sent = replay(
                scenario,
                options,
                partial(broker.append, stream),
                progress=show,
                stop=lambda: bool(caught),
            )
    speed = sent.samples / max(time.monotonic() - started, 1e-9)
    figures = f"{sent.samples:,} of {total:,} samples in {sent.messages:,} messages"
    if sent.finished:
        _say(f"sent {figures}, {speed:,.0f} samples/s")
        return 0
    _say(f"stopped after {figures}; the rest was not sent")
    return caught[0]


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
