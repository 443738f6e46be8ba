"""`si-stream health`: whether the processes of these settings answer, for those who restart them.

Invariant: a learner that waits for its broker is well, and so is a predictor that waits for a
first snapshot, unless it is asked whether it is ready: no restart would mend either.
"""

from __future__ import annotations

from typing import NamedTuple

from services.asking import ask, key_of, url_of
from si_stream.errors import SettingsError
from si_stream.settings import LearnerOptions, PredictorOptions, Settings


class Health(NamedTuple):
    well: bool
    line: str


def learner_health(settings: Settings) -> Health:
    options = settings.learner
    url = _url(options.metrics_host, options.metrics_port, "learner.metrics_port", options)
    answer = ask(f"{url}/health", key_of("learner", options, own=True))
    if answer is None or answer.status != 200:
        return Health(False, f"learner at {url}: {_fault(answer and answer.status)}")
    return Health(True, f"learner at {url}: {_word(answer.body, 'answers')}")


def predictor_health(settings: Settings, *, ready: bool) -> Health:
    """Args:
    ready: whether it must have a snapshot to answer from.
    """
    options = settings.predictor
    url = _url(options.host, options.port, "predictor.port", options)
    path = "/healthz/ready" if ready else "/healthz/live"
    answer = ask(url + path, key_of("predictor", options, own=True))
    if answer is None:
        return Health(False, f"predictor at {url}: {_fault(None)}")
    if answer.status != 200:
        detail = answer.body.get("detail") if isinstance(answer.body, dict) else None
        return Health(False, f"predictor at {url}: {detail or _fault(answer.status)}")
    return Health(True, f"predictor at {url}: {_word(answer.body, 'answers')}")


def check(settings: Settings, *, learner: bool, predictor: bool, ready: bool) -> bool:
    """Print a line for each that is asked for, for both where neither is; whether all are well.

    Raises:
        SettingsError: a port is any that is free, so that nobody can know it.
    """
    if not learner and not predictor:
        learner = predictor = True
    seen = [learner_health(settings)] if learner else []
    if predictor:
        seen.append(predictor_health(settings, ready=ready))
    for health in seen:
        print(health.line)
    return all(health.well for health in seen)


def _url(host: str, port: int, setting: str, options: LearnerOptions | PredictorOptions) -> str:
    if port == 0:
        raise SettingsError(f"{setting} is 0, any port that is free: name one, and start it anew")
    return url_of(host, port, tls=options.tls_certificate_file is not None)


def _fault(status: int | None) -> str:
    return "does not answer" if status is None else f"answers {status}"


def _word(body: object, otherwise: str) -> str:
    status = body.get("status") if isinstance(body, dict) else None
    return status if isinstance(status, str) else otherwise
