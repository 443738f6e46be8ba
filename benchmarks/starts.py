"""The benchmark of a learner's start: how long nothing is learned after a restart."""

from __future__ import annotations

import subprocess
import sys
import time
from functools import partial
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.images import make_images, split_images
from benchmarks.processes import events, running_service
from benchmarks.rounds import Effort, Figure, alternate, figure
from benchmarks.service import STREAM, new_broker
from si_stream.brokers.options import StreamOptions
from si_stream.learning.options import ComputeOptions
from si_stream.learning.presets import PRESETS
from si_stream.settings import LearnerOptions, Settings
from simulators.options import ReplayOptions
from simulators.replay import replay


def learner_start_seconds(effort: Effort) -> Figure:
    """Seconds from the start of the process `si-stream learner` until its first step is done.

    A new model of split MNIST, on an embedded stream that is there; the step is seen by the
    snapshot that follows it. What the learner reads at a start has been read before, and what Numba
    compiles is in its cache. The baseline is the seconds of a process that only imports torch.
    """
    with TemporaryDirectory() as folder:
        broker_url = f"embedded:{folder}/broker.sqlite"
        scenario = split_images(make_images(1000, 100))
        with new_broker(broker_url) as broker:
            replay(scenario, ReplayOptions(), partial(broker.append, STREAM))
        numbers = count()

        def start() -> float:
            settings = Settings(
                directory=Path(folder) / f"model-{next(numbers)}",
                stream=StreamOptions(broker=broker_url, retention="all"),
                compute=ComputeOptions(device="cpu"),
                learner=LearnerOptions(metrics_port=0),
                **PRESETS["split-mnist"],
            )
            started = time.time()
            with running_service("learner", settings) as learner:
                published = partial(events, settings.directory, "SnapshotPublished")
                first = learner.wait_for(lambda: published() or None)[0]
            return float(first["time_seconds"]) - started

        def import_torch() -> float:
            started = time.time()
            subprocess.run([sys.executable, "-c", "import torch"], check=True)
            return time.time() - started

        pairs = alternate(effort, 5, start, import_torch)
        return figure([pair.ours for pair in pairs], "seconds", [pair.baseline for pair in pairs])
