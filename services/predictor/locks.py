"""What of a predictor is open to all, and what needs its token.

Invariant: open is what a probe, Prometheus or a page before its token asks for, none of which has a
sample, a weight or an answer of the model in it. All else, also what is added later, is locked.
"""

from __future__ import annotations

from collections.abc import Sequence

from services.predictor.front import Front
from services.predictor.metrics import UNKNOWN
from services.web.doors import Doors
from services.web.rates import Rates
from services.web.tokens import Tokens
from si_stream.settings import PredictorOptions

PROBES = frozenset({"/healthz/live", "/healthz/ready", "/v2/health/live", "/v2/health/ready"})
OPEN = PROBES | {"/", "/metrics", "/openapi.json"}
PAGE_FILES = "/page/"


def is_open(path: str) -> bool:
    """
    >>> [is_open(path) for path in ("/", "/page/1f/main.js", "/metrics", "/healthz/live")]
    [True, True, True, True]
    >>> [is_open(path) for path in ("/predict", "/events", "/tasks", "/v2/models/m/infer")]
    [False, False, False, False]
    """
    return path in OPEN or path.startswith(PAGE_FILES)


def locked(front: Front, options: PredictorOptions, token: Tokens) -> Doors:
    """The predictor behind its doors. Without a token they are open, but not to any haste."""

    def locks(_method: str, path: str) -> Sequence[Tokens] | None:
        return [token] if token and not is_open(path) else None

    often = options.max_requests_per_second
    return Doors(
        front,
        locks,
        None if often is None else Rates(often),
        unlimited=PROBES,
        refused=lambda status: front.metrics.answered(UNKNOWN, status),
    )
