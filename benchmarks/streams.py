"""Benchmarks of the learner service on a stream: the whole loop, with the process around it.

Telemetry, journal, checkpoints, snapshots and holdout evaluation are on, at their defaults, and
there is no shadow. One thread learns, with the settings of split MNIST. Waits for a disk belong to
it, so the clock is taken.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from contextlib import ExitStack, closing
from functools import partial
from itertools import count
from multiprocessing.synchronize import Event as ProcessEvent
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np
import torch
from torch import Tensor

from benchmarks.images import make_images, split_images
from benchmarks.plain_loop import PlainLoop
from benchmarks.rounds import Effort, Figure, alternate, ratio
from benchmarks.service import STREAM, Service, new_broker
from si_stream.brokers import open_broker
from si_stream.brokers.interface import Broker
from si_stream.brokers.options import StreamOptions
from si_stream.learning.options import ComputeOptions
from si_stream.learning.presets import PRESETS
from si_stream.messages.kinds import Samples
from si_stream.settings import Settings
from simulators.options import ReplayOptions
from simulators.replay import messages, replay
from simulators.scenarios import Scenario

Replay = tuple[Scenario, ReplayOptions]


def learner_step_ratio(effort: Effort) -> Figure:
    """The service over a plain PyTorch loop with fused Adam on the same batches.

    A round is one task as in the paper, of 10 epochs, from records in memory. Decoding them is in
    it, and so is the task's end: consolidation, evaluation, checkpoint and snapshot. The plain
    loop has its batches ready. The baseline is in seconds a step.
    """
    with ExitStack() as stack:
        settings = _settings(stack.enter_context(TemporaryDirectory()))
        broker = stack.enter_context(new_broker("memory:"))
        service = stack.enter_context(closing(Service(broker, settings)))
        plain = PlainLoop(settings.model)
        for_service, for_plain = _tasks(effort), _tasks(effort)

        def ours() -> float:
            broker.prune(STREAM, 0, broker.watermarks(STREAM, 0).high)
            replay(*next(for_service), partial(broker.append, STREAM))
            before = service.state.ledger.steps
            started = perf_counter()
            service.learn_to_the_end()
            return (perf_counter() - started) / (service.state.ledger.steps - before)

        def theirs() -> float:
            batches = _batches(next(for_plain), settings.model.batch_size)
            started = perf_counter()
            for inputs, labels in batches:
                plain.step(inputs, labels)
            return (perf_counter() - started) / len(batches)

        return ratio(alternate(effort, 10, ours, theirs))


def embedded_stream_ratio(effort: Effort) -> Figure:
    """Samples a second through the embedded broker over in memory.

    The simulator has filled both before. The baseline is in samples a second.
    """
    with TemporaryDirectory() as directory:
        url = f"embedded:{directory}/broker.sqlite"
        with new_broker(url) as embedded, new_broker("memory:") as memory:
            for broker in (embedded, memory):
                fill(broker, effort)
            rates = [partial(samples_per_second, broker) for broker in (embedded, memory)]
            return ratio(alternate(effort, 12, *rates))


def embedded_while_writing_ratio(effort: Effort) -> Figure:
    """Samples a second through the embedded broker while another process writes them, over in
    memory.

    That process is the simulator, as fast as it can. The baseline is in samples a second.
    """
    spawn = multiprocessing.get_context("spawn")
    with new_broker("memory:") as memory:
        fill(memory, effort)

        def ours() -> float:
            with TemporaryDirectory() as directory:
                url = f"embedded:{directory}/broker.sqlite"
                ready, go = spawn.Event(), spawn.Event()
                writer = spawn.Process(target=fill_when_told, args=(url, effort.quick, ready, go))
                with new_broker(url) as embedded:
                    writer.start()
                    ready.wait()
                    go.set()
                    rate = samples_per_second(embedded)
                    writer.join()
                    return rate

        return ratio(alternate(effort, 8, ours, partial(samples_per_second, memory)))


def fill_when_told(url: str, quick: bool, ready: ProcessEvent, go: ProcessEvent) -> None:
    task = _one_task(Effort(quick=quick))
    ready.set()
    go.wait()
    with open_broker(url) as broker:
        replay(*task, partial(broker.append, STREAM))


def _settings(directory: str) -> Settings:
    return Settings(
        directory=Path(directory),
        compute=ComputeOptions(device="cpu"),
        stream=StreamOptions(retention="all"),  # the next round learns the same
        **PRESETS["split-mnist"],
    )


def samples_per_second(broker: Broker) -> float:
    """Of a new service that learns the whole stream."""
    assert broker.watermarks(STREAM, 0).low == 0, "the round before has pruned it"
    with (
        TemporaryDirectory() as directory,
        closing(Service(broker, _settings(directory))) as service,
    ):
        started = perf_counter()
        service.learn_to_the_end()
        return service.state.ledger.samples / (perf_counter() - started)


def fill(broker: Broker, effort: Effort, epochs: int = 5) -> None:
    replay(*_one_task(effort, epochs), partial(broker.append, STREAM))


def _one_task(effort: Effort, epochs: int = 5) -> Replay:
    """12,000 samples an epoch, and an end."""
    scenario, options = next(_tasks(effort))
    return scenario, options.model_copy(update={"epochs_per_task": effort.amount(epochs)})


def _tasks(effort: Effort) -> Iterator[Replay]:
    """Split MNIST's tasks in the paper's 10 epochs, over and over, each with an end of its own."""
    whole = split_images(make_images(effort.amount(60_000), effort.amount(10_000)))
    for number in count():
        task = whole.tasks[number % len(whole.tasks)]
        options = ReplayOptions(epochs_per_task=10, seed=number)
        yield Scenario(whole.name, (task,)), options


def _batches(task: Replay, size: int) -> list[tuple[Tensor, Tensor]]:
    """What the service makes of a replay's training samples: uint8 inputs and labels."""
    samples = [m for m in messages(*task) if isinstance(m, Samples) and m.role == "train"]
    inputs = torch.from_numpy(np.concatenate([part.inputs for part in samples]))
    labels = torch.from_numpy(np.concatenate([part.labels for part in samples]))
    return list(zip(torch.split(inputs, size), torch.split(labels, size), strict=True))
