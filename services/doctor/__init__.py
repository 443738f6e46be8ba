"""`si-stream doctor`: looks at all that a learner and a predictor need, and says what to do.

Invariant: it changes nothing, and never ends in a traceback. What it finds is well (ok), will not
stay so (warn), or does not work (fail).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

from rich.console import Console

from services.doctor.finding import Finding
from si_stream.settings import LoadedSettings


def run(load: Callable[[], LoadedSettings], *, as_json: bool) -> bool:
    """Look, and show what was found; whether nothing failed.

    Args:
        load: reads the settings, or raises what is wrong with them.
    """
    from services.doctor.report import Report, show

    logging.getLogger().addHandler(logging.NullHandler())  # what is to be told is a finding
    found = examine(load)
    shown = [*found] if as_json else show(found, Console())
    healthy = not any(finding.state == "fail" for finding in shown)
    if as_json:
        print(Report(healthy=healthy, findings=shown).model_dump_json(indent=1))
    return healthy


def examine(load: Callable[[], LoadedSettings]) -> Iterator[Finding]:
    """Every check in turn; without settings there is no more to look at."""
    from services.doctor.checks import CHECKS, LIMIT_SECONDS, findings
    from services.doctor.environment import settings_of

    settings, finding = settings_of(load)
    yield finding
    if settings is not None:
        for check in CHECKS:
            yield from findings(check, settings, LIMIT_SECONDS)
