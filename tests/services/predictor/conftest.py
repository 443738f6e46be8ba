"""A predictor that serves a small model, shared by the tests of a module."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.services.predictor.serving import Running, Teacher, serving
from tests.services.test_learner_host import MESSAGES
from tests.services.test_learner_host import run as learn_all
from tests.streams import memory_broker, settings


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Teacher:
    """Of a small uint8 model that has published one snapshot."""
    teacher = Teacher(tmp_path_factory.mktemp("model"))
    teacher.teach()
    teacher.publish()
    return teacher


@pytest.fixture(scope="module")
def predictor(teacher: Teacher) -> Iterator[Running]:
    """Serves the `teacher`'s snapshot."""
    with serving(teacher.store.epochs.parent, max_body_bytes=20_000, max_inputs=50) as running:
        running.wait_until_ready()
        yield running


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a learner that has learned two tasks to the stream's end."""
    directory = tmp_path_factory.mktemp("learned")
    learn_all(memory_broker(MESSAGES), settings(directory, learner={"shadow": "none"}))
    return directory
