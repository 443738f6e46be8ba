"""Asks a process of ours, over HTTP, how it is.

Invariant: whatever is at the address, or nothing, the answer is what it said as JSON, or None.
"""

from __future__ import annotations

import json
from http.client import HTTPException
from ssl import SSLContext
from typing import Any, NamedTuple
from urllib.error import HTTPError
from urllib.request import (
    HTTPRedirectHandler,
    HTTPSHandler,
    ProxyHandler,
    Request,
    build_opener,
)

from services.web.certificates import trusting
from services.web.tokens import Tokens
from si_stream.errors import SettingsError
from si_stream.settings import LearnerOptions, PredictorOptions

ANSWER_SECONDS = 3.0
LIMIT_BYTES = 64 * 2**20
NO_ANSWER = (ValueError, RecursionError, OSError, HTTPException)


class Answer(NamedTuple):
    status: int
    body: Any


class Key(NamedTuple):
    """What opens a process's door: its token, and by what its certificate is known; None: by an
    authority that this machine trusts, and it must name the address."""

    token: str | None = None
    context: SSLContext | None = None

    def headers(self) -> dict[str, str]:
        return {} if self.token is None else {"Authorization": f"Bearer {self.token}"}


NO_KEY = Key()


class _Here(HTTPRedirectHandler):
    """Leads nowhere else, where the token would go too."""

    def redirect_request(self, *_arguments: Any) -> None:
        return None


def ask(url: str, key: Key = NO_KEY) -> Answer | None:
    """What is answered to a GET, also where it is a refusal; None where that is no JSON."""
    direct = build_opener(ProxyHandler({}), HTTPSHandler(context=key.context), _Here)
    request = Request(url, headers=key.headers())
    try:
        with direct.open(request, timeout=ANSWER_SECONDS) as answer:
            return Answer(answer.status, json.loads(answer.read(LIMIT_BYTES)))
    except HTTPError as error:
        with error:
            try:
                return Answer(error.code, json.loads(error.read(LIMIT_BYTES)))
            except NO_ANSWER:
                return None
    except NO_ANSWER:
        return None


def key_of(setting: str, options: LearnerOptions | PredictorOptions, *, own: bool) -> Key:
    """Of the process that has these options.

    Args:
        own: it is asked at the address in them, on this machine; not at one that somebody named.

    Raises:
        SettingsError: its token or its certificate cannot be read.
    """
    token = Tokens(f"{setting}.token", options.token, options.token_file).first()
    certificate = options.tls_certificate_file
    if certificate is None or not own:
        return Key(token)
    try:
        return Key(token, trusting(certificate))
    except OSError as error:
        raise SettingsError(
            f"{setting}.tls_certificate_file: {certificate} cannot be read: {error.strerror}"
        ) from None


def url_of(host: str, port: int, *, tls: bool = False) -> str:
    """Where a process that listens there is asked from this machine.

    >>> url_of("0.0.0.0", 9101), url_of("::", 80), url_of("localhost", 443, tls=True)
    ('http://127.0.0.1:9101', 'http://[::1]:80', 'https://localhost:443')
    """
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    scheme = "https" if tls else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
