from __future__ import annotations

from pathlib import Path

import pytest

from si_stream.brokers import open_broker
from si_stream.brokers.embedded import EmbeddedBroker
from si_stream.brokers.memory import MemoryBroker
from si_stream.errors import BrokerError


def test_the_scheme_of_the_url_chooses_the_broker(tmp_path: Path) -> None:
    with open_broker(f"embedded:{tmp_path}/log.sqlite") as broker:
        assert isinstance(broker, EmbeddedBroker)
    with open_broker("memory:") as broker:
        assert isinstance(broker, MemoryBroker)


def test_each_memory_broker_is_a_new_one() -> None:
    with open_broker("memory:") as one, open_broker("memory:") as other:
        one.create_stream("s")
        other.create_stream("s")
        assert one.stream_id("s") != other.stream_id("s")


def test_a_relative_path_is_taken_from_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    open_broker("embedded:log.sqlite").close()
    open_broker("embedded::memory:").close()
    assert (tmp_path / "log.sqlite").is_file()
    assert (tmp_path / ":memory:").is_file()


@pytest.mark.parametrize(
    "url",
    ["", "log.sqlite", "embedded", "embedded:", "embedded://log", "memory", "memory:x", "ftp://x"],
)
def test_any_other_url_is_refused_and_the_working_forms_are_named(url: str) -> None:
    with pytest.raises(BrokerError, match=r"cannot open .*; write embedded:PATH/TO/FILE, kafka:"):
        open_broker(url)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("kafka:localhost:9092", "begins with kafka: and not with kafka://"),
        ("embedded:", "'embedded:' without a file"),
        ("embedded://log", "has slashes where its path should begin"),
        ("log.sqlite", "without a scheme"),
    ],
)
def test_what_is_wrong_with_a_url_is_said(url: str, problem: str) -> None:
    with pytest.raises(BrokerError, match=f"cannot open a broker URL.* {problem}"):
        open_broker(url)


def test_a_password_in_a_url_is_not_repeated() -> None:
    with pytest.raises(BrokerError) as caught:
        open_broker("redis://user:secret@host:1")
    assert "secret" not in str(caught.value)
    assert "redis" in str(caught.value)
