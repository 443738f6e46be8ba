from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from si_stream.brokers import open_broker
from si_stream.brokers.kafka.client import make_client, servers_of
from si_stream.brokers.options import KafkaOptions
from si_stream.errors import BrokerError, SettingsError


def test_several_addresses_are_taken_one_by_one() -> None:
    assert [str(server) for server in servers_of("a:1,b.example:65535,[::1]:9092")] == [
        "a:1",
        "b.example:65535",
        "[::1]:9092",
    ]


@pytest.mark.parametrize("url", ["", "host", "host:", ":9092", "h:0", "h:65536", "h:1,", "h:1/x"])
def test_any_other_form_of_address_is_refused_with_the_right_one(url: str) -> None:
    with pytest.raises(BrokerError, match="write kafka://HOST:PORT"):
        open_broker(f"kafka://{url}")


def test_a_password_in_a_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(BrokerError, match=r"set kafka\.username and kafka\.password") as caught:
        open_broker("kafka://user:s3cret@host:9092")
    assert "s3cret" not in str(caught.value)


def test_without_the_c_crc32c_nothing_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "crc32c", None)
    with pytest.raises(BrokerError, match=r"the package crc32c is missing.*pip install crc32c"):
        open_broker("kafka://host:9092")


LOGIN: dict[str, Any] = {"security_protocol": "SASL_SSL", "username": "u", "password": "p"}


@pytest.mark.parametrize("setting", ["ca_file", "certificate_file", "password_file"])
def test_a_file_that_cannot_be_read_is_named_with_its_setting(setting: str, tmp_path: Path) -> None:
    given = {**LOGIN, setting: tmp_path / "missing"}
    if setting == "password_file":
        del given["password"]
    with pytest.raises(SettingsError, match=rf"kafka\.{setting} = \S*missing.* cannot be used"):
        make_client("host:9092", KafkaOptions(**given))


def test_a_file_that_is_no_certificate_is_named_with_its_setting(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("buy milk")
    for setting in ("ca_file", "certificate_file"):
        given: dict[str, Any] = {"security_protocol": "SSL", setting: tmp_path / "notes"}
        options = KafkaOptions(**given)
        with pytest.raises(SettingsError, match=rf"kafka\.{setting} = \S*notes"):
            make_client("host:9092", options)


def test_the_password_is_in_no_text_of_the_options() -> None:
    options = KafkaOptions(**{**LOGIN, "password": "s3cret"})
    assert "s3cret" not in f"{options!r} {options} {options.model_dump(mode='json')}"


@pytest.mark.parametrize(
    "given",
    [
        {"security_protocol": "SASL_SSL"},
        {"security_protocol": "SASL_SSL", "username": "u"},
        {"security_protocol": "SASL_PLAINTEXT", "password": "p"},
        {"username": "u", "password": "p"},
        {"security_protocol": "SSL", "username": "u", "password": "p"},
    ],
)
def test_a_login_is_given_exactly_where_the_protocol_asks_for_one(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"needs username and password|takes no username"):
        KafkaOptions(**given)


def test_a_password_is_given_once() -> None:
    with pytest.raises(ValueError, match="password and password_file are both set; keep one"):
        KafkaOptions(**LOGIN, password_file=Path("p"))


def test_an_append_may_not_give_up_before_one_of_its_requests_does() -> None:
    with pytest.raises(ValueError, match="delivery_timeout_seconds"):
        KafkaOptions(delivery_timeout_seconds=30, request_timeout_seconds=30)


def test_whoever_uses_no_kafka_does_not_load_its_library(tmp_path: Path) -> None:
    program = f"""
import sys
from si_stream.brokers import open_broker
from si_stream.brokers.options import KafkaOptions
open_broker("embedded:{tmp_path}/log.sqlite", KafkaOptions()).close()
print(sorted(name for name in sys.modules if name.partition(".")[0] in ("kafka", "crc32c")))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
