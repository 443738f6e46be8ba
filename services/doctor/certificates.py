"""The certificates of the ports: whether they work, and for how long."""

from __future__ import annotations

import time
from collections.abc import Iterator

from services.doctor.finding import Finding, ok, refused, warn
from services.web.certificates import SOON_SECONDS, certificate_of
from si_stream.errors import SettingsError
from si_stream.settings import Settings


def look(settings: Settings) -> Iterator[Finding]:
    """Of those that the settings name."""
    for name, options in (("learner", settings.learner), ("predictor", settings.predictor)):
        about = f"certificates: {name}"
        try:
            certificate = certificate_of(f"{name}.tls", options)
        except SettingsError as error:
            yield refused(about, error)
            continue
        if certificate is None:
            continue
        ends = time.strftime("%Y-%m-%d", time.gmtime(certificate.ends_seconds))
        seen = f"{options.tls_certificate_file} works, until {ends}"
        if certificate.ends_seconds - time.time() < SOON_SECONDS:
            yield warn(about, seen, "renew it on disk; no restart is needed")
        else:
            yield ok(about, seen)
