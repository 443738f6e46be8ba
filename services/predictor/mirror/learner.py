"""The learner at a URL, asked by a predictor.

Invariant: no answer is waited for longer than a few seconds, none is larger than its limit, and
what goes wrong is one of three things: it is away, it refuses, or what it says is not to be used.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version

import httpx

from services.web.certificates import authorities
from services.web.tokens import Tokens
from si_stream.errors import SIStreamError
from si_stream.settings import PredictorOptions

ANSWER_SECONDS = 5.0
CONNECT_SECONDS = 2.0

for name in ("httpx", "httpcore"):  # which tell of each request
    logging.getLogger(name).setLevel(logging.WARNING)


class SourceAway(SIStreamError):
    """Nobody answers, or the answer has broken off: it will be tried again soon."""


class SourceRefuses(SIStreamError):
    """It answers and says no; a person must do something, there or here."""


class SourceUnusable(SIStreamError):
    """What it has sent is not what it should be."""


class SourceLearner:
    """Args:
    options: the URL, and what is needed to be let in.

    Attributes:
        received_bytes: of answers, as they came.
        answered_at: when it last answered, of the clock that never goes back; None before.

    Raises:
        SettingsError: a file of the settings cannot be read.
    """

    def __init__(self, options: PredictorOptions) -> None:
        assert options.source_url is not None
        self.url = options.source_url
        self.received_bytes = 0
        self.answered_at: float | None = None
        self._tokens = Tokens(
            "predictor.source_token", options.source_token, options.source_token_file
        )
        self._client = httpx.Client(
            base_url=self.url,
            headers={
                "Accept-Encoding": "identity",
                "User-Agent": f"si-stream/{version('si-stream')}",
            },
            timeout=httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
            verify=authorities("predictor.source_ca_file", options.source_ca_file),
            trust_env=False,  # no proxies and no passwords of whoever started the process
        )

    def close(self) -> None:
        self._client.close()

    @contextmanager
    def asked(
        self, method: str, path: str, headers: Mapping[str, str] | None = None
    ) -> Iterator[httpx.Response]:
        """Its answer, whose body is not read yet.

        Raises:
            SourceAway: there is none, or it breaks off while it is used.
            SourceRefuses: it is one for nobody, or not for us.
        """
        own = dict(headers or {})
        if (token := self._tokens.first()) is not None:
            own["Authorization"] = f"Bearer {token}"
        try:
            with self._client.stream(method, path, headers=own) as response:
                if method == "HEAD":
                    response.read()  # nothing; else the connection is not used again
                self._require_answer(response)
                self.answered_at = time.monotonic()
                yield response
        except httpx.HTTPError as error:
            raise SourceAway(
                f"the learner at {self.url} cannot be reached: {_reason(error)}; what is served "
                "stays, and it is asked again every second"
            ) from error

    def content(self, response: httpx.Response, limit_bytes: int) -> Iterator[bytes]:
        """The body as it comes, in pieces.

        Raises:
            SourceUnusable: it is larger, or compressed.
        """
        if response.headers.get("content-encoding", "identity") != "identity":
            raise SourceUnusable(f"{response.url} is sent compressed, which was not asked for")
        too_large = SourceUnusable(
            f"{response.url} has more than {limit_bytes:,} bytes, which is the limit"
        )
        length = response.headers.get("content-length", "0")
        if length.isdigit() and int(length) > limit_bytes:
            raise too_large
        count = 0
        for piece in response.iter_raw():
            count += len(piece)
            self.received_bytes += len(piece)
            if count > limit_bytes:
                raise too_large
            yield piece

    def get(self, path: str, limit_bytes: int) -> bytes | None:
        """All of an answer; None where there is nothing there."""
        with self.asked("GET", path) as response:
            if response.status_code != 200:
                return None
            return b"".join(self.content(response, limit_bytes))

    def _require_answer(self, response: httpx.Response) -> None:
        status = response.status_code
        if status in (401, 403):
            raise SourceRefuses(
                f"the learner at {self.url} does not let this predictor in ({status}); set "
                "predictor.source_token or predictor.source_token_file to its read_token"
            )
        if status in (429, 500, 502, 504):
            raise SourceAway(f"the learner at {self.url} cannot answer now ({status})")


def _reason(error: httpx.HTTPError) -> str:
    if isinstance(error, httpx.ConnectTimeout):
        return f"no answer within {CONNECT_SECONDS:g} s"
    if isinstance(error, httpx.TimeoutException):
        return f"nothing came for {ANSWER_SECONDS:g} s"
    return str(error) or type(error).__name__
