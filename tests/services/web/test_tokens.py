"""Tokens: who has one comes in, and a renewed file counts without a restart."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import SecretStr

from services.web import tokens
from services.web.tokens import Tokens
from si_stream.errors import SettingsError

TOKEN = "a-token-of-the-tests"


@pytest.fixture(autouse=True)
def _looks_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "LOOK_SECONDS", 0.0)


def of_file(file: Path) -> Tokens:
    return Tokens("learner.token", None, file)


@pytest.mark.parametrize(
    ("authorization", "opens"),
    [
        (f"Bearer {TOKEN}", True),
        (f"bearer  {TOKEN} ", True),
        (f"Bearer {TOKEN}x", False),
        (f"Bearer {TOKEN[:-1]}", False),
        (f"Bearer {TOKEN.upper()}", False),
        (TOKEN, False),
        (f"Basic {TOKEN}", False),
        ("Bearer", False),
        ("Bearer ", False),
        ("", False),
        ("Bearer \u00ff\u00fe", False),
        (None, False),
    ],
)
def test_a_door_opens_to_its_token_alone(authorization: str | None, opens: bool) -> None:
    given = None if authorization is None else authorization.encode("latin-1")
    assert Tokens("learner.token", SecretStr(TOKEN), None).open_to(given) is opens


def test_space_around_one_from_the_environment_is_none_of_it() -> None:
    padded = Tokens("learner.token", SecretStr(f" {TOKEN}\n"), None)
    assert padded.open_to(f"Bearer {TOKEN}".encode())
    assert padded.first() == TOKEN


@pytest.mark.parametrize("given", ["geheimnis-\u00e9", "a-token\tof-two", "short \n\n\n", " " * 8])
def test_what_no_header_can_carry_is_refused_and_not_shown(given: str) -> None:
    with pytest.raises(
        SettingsError, match=r"^learner\.token (holds what is no|is empty)"
    ) as caught:
        Tokens("learner.token", SecretStr(given), None)
    assert given.strip() not in str(caught.value) or not given.strip()


def test_without_a_token_it_opens_to_nobody() -> None:
    none = Tokens("learner.token", None, None)
    assert not none
    assert not none.open_to(b"Bearer ")
    assert none.first() is None


def test_a_file_may_hold_the_old_one_and_the_new_one(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n\n  second-token\n")
    both = of_file(file)
    assert both.open_to(f"Bearer {TOKEN}".encode())
    assert both.open_to(b"Bearer second-token")
    assert not both.open_to(f"Bearer {TOKEN}\n\n  second-token".encode())
    assert both.first() == TOKEN


def test_a_renewed_file_counts_at_once_and_a_broken_one_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN)
    renewed = of_file(file)
    file.write_text("another-token")
    assert renewed.open_to(b"Bearer another-token")
    assert not renewed.open_to(f"Bearer {TOKEN}".encode())
    for broken in ("", "short", "with\x07bell-in-it"):
        file.write_text(broken)
        assert renewed.open_to(b"Bearer another-token")
    file.unlink()
    assert renewed.open_to(b"Bearer another-token")
    assert (
        caplog.text.count("the tokens that were read last still count") == 3
    )  # two of them are of one kind
    assert "another-token" not in caplog.text
    file.write_text("third-token")
    assert renewed.open_to(b"Bearer third-token")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty; put a token in it"),
        (b"\n \n", "is empty"),
        (b"long-enough\nseven77", "holds what is no token (its 2.)"),
        (b"with a\ttab in it", "holds what is no token (its 1.)"),
        ("not-ascii-\u00e9".encode(), "8 printable ASCII characters or more"),
        (b"\xff\xfe\xff\xfe\xff\xfe\xff\xfe\xff", "it is not text in UTF-8"),
        (None, "cannot be read: No such file"),
    ],
)
def test_a_file_without_a_token_is_refused_and_not_shown(
    content: bytes | None, says: str, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SettingsError, match=re.escape(says)) as refused:
        of_file(file)
    assert "learner.token_file" in str(refused.value)
    assert "seven77" not in str(refused.value)
