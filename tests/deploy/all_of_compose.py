"""deploy/compose.yaml as plain processes, with three predictors and all that its simulator sends:
make compose-test.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.kafka.local_broker import LocalBroker
from deploy.prometheus.local_prometheus import LocalAlertmanager, LocalPrometheus
from tests.deploy.at_work import comes_up_learns_and_answers
from tests.deploy.topology import topology

pytestmark = pytest.mark.timeout(1200)


def test_three_predictors_follow_all_of_split_mnist(
    compose_broker: LocalBroker,
    start_prometheus: Callable[..., LocalPrometheus],
    start_alertmanager: Callable[..., LocalAlertmanager],
    mnist_root: Path,
    tmp_path: Path,
) -> None:
    with topology(tmp_path, compose_broker.server, predictors=3) as made:
        comes_up_learns_and_answers(made, start_prometheus, start_alertmanager, mnist_root)
