"""The predictor: answers over HTTP from the newest snapshot that a learner has published.

Invariant: a request is answered by one snapshot from beginning to end, and a snapshot older in
(epoch, step) never follows a newer one.
"""

from __future__ import annotations

from services.web.address import listen
from services.web.certificates import certificate_of
from services.web.tokens import Tokens
from si_stream.settings import Settings


def run(settings: Settings) -> None:
    """Serve until SIGTERM or Ctrl-C, which let requests in flight finish.

    Raises:
        SettingsError: the address cannot be listened on, or a token or a certificate is none.
    """
    options = settings.predictor
    certificate = certificate_of("predictor.tls", options)
    token = Tokens("predictor.token", options.token, options.token_file)
    with listen(options.host, options.port) as listener:
        from services.predictor.server import serve  # torch and FastAPI: after a port in use

        serve(settings, listener, token, certificate)
