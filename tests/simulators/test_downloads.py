from __future__ import annotations

import socket
from pathlib import Path

import pytest

from si_stream.errors import DataError
from simulators.downloads import fetch


def use_proxy(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, f"http://{address}")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


def test_a_download_that_stalls_is_given_up_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        use_proxy(monkeypatch, f"127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(DataError, match=r"did not come within 0\.5 s") as caught:
            fetch("MNIST", "MNIST/raw", tmp_path / "data", limit_seconds=0.5)
    assert "\n" not in str(caught.value)
    assert "set SI_STREAM_DATA to a directory that holds MNIST/raw" in str(caught.value)
    assert list((tmp_path / "data").iterdir()) == []


def test_a_download_without_a_connection_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"127.0.0.1:{closed.getsockname()[1]}"
    use_proxy(monkeypatch, address)
    with pytest.raises(DataError, match="Connection refused") as caught:
        fetch("CIFAR10", "cifar-10-batches-py", tmp_path)
    assert "\n" not in str(caught.value)


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="file"):
        fetch("MNIST", "MNIST/raw", tmp_path / "file")
