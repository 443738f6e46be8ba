"""A learner to be followed, and a place for the copy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.predictor.mirror import mirror
from tests.services.learner_api.serving import answers
from tests.services.predictor.serving import (
    TASKS,
    Teacher,
)
from tests.services.web.certificates import Authority


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests have less patience than a predictor."""
    for wait in ("LOOK_SECONDS", "AWAY_SECONDS", "DAMAGED_SECONDS", "WATCHED_SECONDS"):
        monkeypatch.setattr(mirror, wait, 0.03)


@pytest.fixture
def teacher(tmp_path: Path) -> Teacher:
    teacher = Teacher(tmp_path / "learner")
    teacher.teach()
    return teacher


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return tmp_path / "copy"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def there(teacher: Teacher) -> Iterator[str]:
    """The address of the learner."""
    with answers(teacher.store.epochs.parent, tasks=TASKS) as address:
        yield address
