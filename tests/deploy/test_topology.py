"""deploy/compose.yaml as plain processes, with one predictor and a short stream; the whole of it:
make compose-test.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from deploy.kafka.local_broker import LocalBroker
from deploy.prometheus.local_prometheus import LocalAlertmanager, LocalPrometheus
from tests.deploy.at_work import comes_up_learns_and_answers
from tests.deploy.topology import topology

LESS = ["--epochs", "1", "--task-count", "1", "--holdout-samples-per-task", "500"]


def test_all_of_it_comes_up_learns_answers_and_is_watched(
    compose_broker: LocalBroker,
    start_prometheus: Callable[..., LocalPrometheus],
    start_alertmanager: Callable[..., LocalAlertmanager],
    mnist_root: Path,
    tmp_path: Path,
) -> None:
    with topology(tmp_path, compose_broker.server, predictors=1) as made:
        comes_up_learns_and_answers(made, start_prometheus, start_alertmanager, mnist_root, *LESS)
