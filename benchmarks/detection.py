"""Benchmarks of detection: the service's loop that watches for changes over one that does not.

Both learn the same streams from memory, whose boundaries are told. Copying the state every few
thousand samples belongs to it, and a rewind where there is a false alarm.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from functools import partial
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from benchmarks.images import make_images, split_images, whole_images
from benchmarks.rounds import Effort, Figure, alternate, ratio
from benchmarks.service import STREAM, Service, new_broker
from si_stream.boundaries.options import DetectionOptions, DetectorKind
from si_stream.learning.options import ComputeOptions
from si_stream.learning.presets import PRESETS
from si_stream.settings import Settings
from simulators.options import ReplayOptions
from simulators.replay import replay
from simulators.scenarios import Scenario


def detection_step_ratio(effort: Effort) -> Figure:
    """Permuted MNIST's settings, batches of 256; a round is a task of 60,000 samples.

    The baseline is in seconds a step.
    """
    task = whole_images(make_images(effort.amount(60_000), effort.amount(1000)))
    return _ratio(effort, 4, "permuted-mnist", task, epochs=1)


def detection_step_ratio_split(effort: Effort) -> Figure:
    """Split MNIST's settings, batches of 64; a round is a task of 10 epochs, as in the paper.

    The baseline is in seconds a step.
    """
    tasks = split_images(make_images(effort.amount(60_000), effort.amount(10_000)))
    return _ratio(effort, 10, "split-mnist", tasks, epochs=10)


def _ratio(effort: Effort, rounds: int, preset: str, tasks: Scenario, epochs: int) -> Figure:
    with ExitStack() as stack:

        def loop(kind: DetectorKind | None) -> Iterator[float]:
            """The seconds that a step takes, task by task."""
            settings = Settings(
                directory=Path(stack.enter_context(TemporaryDirectory())),
                compute=ComputeOptions(device="cpu"),
                detection=DetectionOptions(kind=kind or "off"),
                **PRESETS[preset],
            )
            broker = stack.enter_context(new_broker("memory:"))
            service = stack.enter_context(closing(Service(broker, settings)))
            for number in count():
                task = Scenario(tasks.name, (tasks.tasks[number % len(tasks.tasks)],))
                options = ReplayOptions(epochs_per_task=epochs, seed=number)
                broker.prune(STREAM, 0, broker.watermarks(STREAM, 0).high)
                replay(task, options, partial(broker.append, STREAM))
                before = service.state.ledger.steps
                started = perf_counter()
                service.learn_to_the_end()
                yield (perf_counter() - started) / (service.state.ledger.steps - before)

        watched, unwatched = loop("adwin"), loop(None)
        pairs = alternate(effort, rounds, partial(next, watched), partial(next, unwatched))
        return ratio(pairs)
