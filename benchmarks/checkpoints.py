"""Benchmarks of checkpoints: what learning loses while one is copied and written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from itertools import cycle
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

import torch

from benchmarks.images import make_images
from benchmarks.rounds import Effort, Figure, alternate, ratio
from benchmarks.service import Service, new_broker
from si_stream.batches import Batch
from si_stream.boundaries.tasks import Task
from si_stream.learning.options import ComputeOptions
from si_stream.learning.presets import PRESETS
from si_stream.merging import Cursor
from si_stream.settings import Settings


def checkpoint_stall_steps(effort: Effort) -> Figure:
    """The longest interval between two steps while a checkpoint is copied and written, less the
    usual interval, in usual intervals.

    Permuted MNIST: 784-2000-2000-10, 5.6 million parameters, a checkpoint of 157 MB, batches of
    256. The baseline is the usual interval in seconds.
    """
    with TemporaryDirectory() as directory, new_broker("memory:") as broker:
        preset = PRESETS["permuted-mnist"]
        settings = Settings(
            directory=Path(directory), compute=ComputeOptions(device="cpu"), **preset
        )
        with closing(Service(broker, settings)) as service:
            track, writing = service.state.main, service.host.checkpointing
            batches = cycle(_batches(settings.model.batch_size))
            track.learn(next(batches))

            def interval(begin: bool) -> float:
                started = perf_counter()
                if begin:
                    writing.begin(service.state, service.host.epoch)
                track.learn(next(batches))
                return perf_counter() - started

            def with_checkpoint() -> float:
                intervals = [interval(begin=True)]
                while not writing.is_idle:
                    intervals.append(interval(begin=False))
                return max(intervals)

            def without() -> float:
                return median(interval(begin=False) for _ in range(effort.amount(20) + 2))

            longest = ratio(alternate(effort, 10, with_checkpoint, without))
            return longest._replace(value=longest.value - 1, unit="steps")


def _batches(size: int) -> Iterator[Batch]:
    images = make_images(10 * size, size)
    for begin in range(0, 10 * size, size):
        inputs = torch.from_numpy(images.train_images[begin : begin + size])
        labels = torch.from_numpy(images.train_labels[begin : begin + size])
        yield Batch(Task(name="1", number=0, head=0), inputs, labels, Cursor({}))
