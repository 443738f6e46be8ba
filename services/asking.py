"""Asks a process of ours, over HTTP, how it is.

Invariant: whatever is at the address, or nothing, the answer is what it said as JSON, or None.
"""

from __future__ import annotations

import json
from http.client import HTTPException
from typing import Any, NamedTuple
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

ANSWER_SECONDS = 3.0
LIMIT_BYTES = 64 * 2**20
NO_ANSWER = (ValueError, RecursionError, OSError, HTTPException)


class Answer(NamedTuple):
    status: int
    body: Any


def ask(url: str, timeout_seconds: float = ANSWER_SECONDS) -> Answer | None:
    """What is answered to a GET, also where it is a refusal; None where that is no JSON."""
    direct = build_opener(ProxyHandler({}))
    try:
        with direct.open(url, timeout=timeout_seconds) as answer:
            return Answer(answer.status, json.loads(answer.read(LIMIT_BYTES)))
    except HTTPError as error:
        with error:
            try:
                return Answer(error.code, json.loads(error.read(LIMIT_BYTES)))
            except NO_ANSWER:
                return None
    except NO_ANSWER:
        return None


def url_of(host: str, port: int) -> str:
    """Where a process that listens there is asked from this machine.

    >>> url_of("0.0.0.0", 9101), url_of("::", 80)
    ('http://127.0.0.1:9101', 'http://[::1]:80')
    """
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
