"""Bearer tokens: a few texts that open a door.

Invariant: a token is compared as bytes, in a time that does not depend on where it differs, and
is in no message. A file is read again when it has changed, so that tokens are renewed without a
restart; where it cannot be read, or holds none, those that were read last go on to count.
"""

from __future__ import annotations

import hmac
import logging
import time
from pathlib import Path

from pydantic import SecretStr

from services.web.renewal import Looks, looks_of
from si_stream.errors import SettingsError

logger = logging.getLogger(__name__)
LEAST_LENGTH = 8
LOOK_SECONDS = 1.0
SCHEME = b"bearer "


class Tokens:
    """One from the settings, or as many as a file has lines: the one that clients still send and
    the one that they are being given.

    Args:
        setting: the dotted key of the token; that of the file ends in ``_file``.

    Raises:
        SettingsError: the file cannot be read, or there is what is no token.
    """

    def __init__(self, setting: str, value: SecretStr | None, file: Path | None) -> None:
        self.setting = setting
        self._file = file
        self._seen: Looks = ()
        self._looked = 0.0
        self._complaint = ""
        self._tokens: list[bytes] = []
        if value is not None:
            self._tokens = _checked(setting, [value.get_secret_value()])
        elif file is not None:
            self._read(file)

    def __bool__(self) -> bool:
        """Whether there is any, without which the door is open or shut for all."""
        return bool(self._tokens)

    def open_to(self, authorization: bytes | None) -> bool:
        """Whether a header ``Authorization`` has one of them."""
        self._look()
        given = authorization or b""
        if given[: len(SCHEME)].lower() != SCHEME:
            return False
        given = given[len(SCHEME) :].strip()
        return sum([hmac.compare_digest(token, given) for token in self._tokens]) > 0

    def first(self) -> str | None:
        """The one to send to another process."""
        self._look()
        return self._tokens[0].decode() if self._tokens else None

    def _look(self) -> None:
        if self._file is None or time.monotonic() - self._looked < LOOK_SECONDS:
            return
        try:
            self._read(self._file)
            self._complaint = ""
        except SettingsError as error:
            if str(error) != self._complaint:  # once, not every second
                logger.warning("%s; the tokens that were read last still count", error)
            self._complaint = str(error)

    def _read(self, file: Path) -> None:
        self._looked = time.monotonic()
        setting = f"{self.setting}_file: {file}"
        try:
            seen = looks_of(file)
            if seen == self._seen:
                return
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text in UTF-8"
            raise SettingsError(f"{setting} cannot be read: {reason}") from None
        self._tokens, self._seen = _checked(setting, lines), seen


def _checked(setting: str, lines: list[str]) -> list[bytes]:
    """Without the space around them, which no header carries.

    Raises:
        SettingsError: there is none, or what a header cannot carry.
    """
    tokens = [line.strip() for line in lines if line.strip()]
    if not tokens:
        raise SettingsError(f"{setting} is empty; put a token in it")
    for number, token in enumerate(tokens, 1):
        if len(token) < LEAST_LENGTH or not (token.isascii() and token.isprintable()):
            raise SettingsError(
                f"{setting} holds what is no token (its {number}.): one has {LEAST_LENGTH} "
                "printable ASCII characters or more"
            )
    return [token.encode() for token in tokens]
