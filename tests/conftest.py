"""What tests share: the real data sets, where there are some, and a quiet environment."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest


def _real_data(*folders: str) -> Path:
    """The directory ``SI_STREAM_DATA``, if it holds the folders; else the test is skipped, or
    fails where ``SI_STREAM_REQUIRE_REAL=1`` asks for real data."""
    root = os.environ.get("SI_STREAM_DATA")
    missing = [folder for folder in folders if not root or not (Path(root) / folder).is_dir()]
    if root and not missing:
        return Path(root)
    reason = f"needs {', '.join(missing)} in the directory SI_STREAM_DATA (it is {root!r})"
    if os.environ.get("SI_STREAM_REQUIRE_REAL") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def mnist_root() -> Path:
    return _real_data("MNIST/raw")


@pytest.fixture(scope="session")
def cifar_root() -> Path:
    return _real_data("cifar-10-batches-py", "cifar-100")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Small networks gain nothing from more, and other counts give other bits."""
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


@pytest.fixture
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting comes from the shell that runs the tests."""
    for name in os.environ:
        if name.startswith("SI_STREAM_"):
            monkeypatch.delenv(name)
