"""What of a learner is open to all, and what needs a token.

Invariant: what changes something is locked also where there is no token, and then shut. What is
read is locked as soon as there is a token for reading, but for what a probe or Prometheus asks for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from services.web.rates import Rates
from services.web.tokens import Tokens
from si_stream.settings import LearnerOptions

if TYPE_CHECKING:
    from starlette.types import ASGIApp

PROBES = frozenset({"/health"})
OPEN = PROBES | {"/metrics", "/openapi.json"}
READING = frozenset({"GET", "HEAD"})


def needs_token(method: str, path: str) -> bool | None:
    """None where it does so as soon as there is one for reading."""
    if path in OPEN:
        return False
    return None if method in READING else True


class Locks:
    """Raises:
    SettingsError: a file with tokens cannot be read, or holds none.
    """

    def __init__(self, options: LearnerOptions) -> None:
        self._often = options.max_requests_per_second
        self._token = Tokens("learner.token", options.token, options.token_file)
        self.reading = Tokens("learner.read_token", options.read_token, options.read_token_file)

    def __call__(self, method: str, path: str) -> Sequence[Tokens] | None:
        match needs_token(method, path):
            case False:
                return None
            case True:
                return [self._token]
        return [self.reading, self._token] if self.reading else None

    def locked(self, app: ASGIApp) -> ASGIApp:
        from services.web.doors import Doors  # starlette: beside the rest of the start

        rates = None if self._often is None else Rates(self._often)
        return Doors(app, self, rates, unlimited=PROBES)
