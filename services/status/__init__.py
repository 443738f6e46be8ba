"""`si-stream status`: how a service is, seen from outside.

Invariant: it is well where the learner is at work, and every predictor that was found can answer.
"""

from __future__ import annotations

from pathlib import Path

from services.asking import Key, key_of
from services.status import learner, predictor
from services.status.address import checked
from services.status.seen import SeenLearner, SeenPredictor, ServiceStatus
from services.web.certificates import authorities
from si_stream.errors import SIStreamError
from si_stream.settings import Settings


def run(
    settings: Settings, url: str | None, predictor_url: str | None, *, as_json: bool, watch: bool
) -> bool:
    """Show it, with ``watch`` each second until Ctrl-C; whether it is well.

    Raises:
        SettingsError: what is given for an address is none.
        SIStreamError: there is nothing to be seen.
    """
    from services.status.screen import show, show_each_second

    url, predictor_url = checked("--url", url), checked("--predictor", predictor_url)
    if watch:
        return show_each_second(lambda: look(settings, url, predictor_url), as_json=as_json)
    seen = look(settings, url, predictor_url)
    if not as_json and seen.learner.status is None and not seen.predictor.ready:
        raise SIStreamError(f"{seen.learner.place}: {seen.learner.problem}")
    show(seen, as_json=as_json)
    return seen.healthy


def look(settings: Settings, url: str | None, predictor_url: str | None) -> ServiceStatus:
    """Args:
    url: of the learner's metrics; unless it is given, the learner is asked that the settings have
        predictors follow, or the directory is looked into.
    predictor_url: of a predictor that must be there; otherwise one is looked for at the address
        of the settings.
    """
    seen = _learner(settings, url)
    address = predictor_url or predictor.address_of(settings)
    served, known = SeenPredictor(address=address), None
    if address:
        model = seen.status.model if seen.status else None
        key = key_of("predictor", settings.predictor, own=predictor_url is None)
        served = predictor.at_address(address, model, key, wanted=predictor_url is not None)
        known = predictor.knowledge_of(address, key) if served.ready else None
    if not url and (known is None or served.problem):
        known = predictor.knowledge_in(settings.directory)
    return ServiceStatus(
        healthy=seen.problem is None and served.problem is None,
        learner=seen,
        predictor=served,
        knowledge=known,
    )


def _learner(settings: Settings, url: str | None) -> SeenLearner:
    options = settings.predictor
    if url is not None:
        return learner.at_address(url)
    if options.source_url is not None:
        trusted = authorities("predictor.source_ca_file", options.source_ca_file)
        return learner.at_address(options.source_url, Key(None, trusted))
    return learner.in_directory(Path(options.source) if options.source else settings.directory)
