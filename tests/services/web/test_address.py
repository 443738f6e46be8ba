"""Where a process listens, and what it says of that."""

from __future__ import annotations

import pytest

from services.web.address import listen, url_of, warn_of_open_door


@pytest.mark.parametrize(
    ("host", "is_open", "warned"),
    [
        ("127.0.0.1", True, False),
        ("::1", True, False),
        ("0.0.0.0", False, False),
        ("0.0.0.0", True, True),
        ("predictor.example.org", True, True),
    ],
)
def test_who_lets_other_machines_ask_without_a_token_is_told(
    host: str, is_open: bool, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    warn_of_open_door("predictor.token", host, is_open=is_open)
    assert ("set predictor.token_file" in caplog.text) is warned


def test_an_address_says_whether_it_speaks_tls() -> None:
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        assert url_of(listener) == f"http://127.0.0.1:{port}"
        assert url_of(listener, tls=True) == f"https://127.0.0.1:{port}"
