"""What a learner answers over HTTP: how it is, what it has published, and an operator's boundaries.

Invariant: it answers also while the broker is away or learning waits for a partition; such things
are told, for no restart would mend them. Learning never waits for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from prometheus_client import CollectorRegistry

from services.learner_api.locks import Locks
from services.learner_status import LearnerStatus
from services.web.address import listen, url_of, warn_of_open_door
from services.web.certificates import certificate_of
from services.web.thread import served
from si_stream.boundaries.tasks import Task
from si_stream.settings import Settings

if TYPE_CHECKING:
    # Who follows a learner asks this package for its paths, and decodes no messages.
    from starlette.types import ASGIApp

    from services.boundary_requests import BoundaryRequests

DRAIN_SECONDS = 1  # of the nine that a learner has to stop in; a download goes on at the next start


class Told(NamedTuple):
    """What is answered with.

    Args:
        health: asked from the server's threads.
        task: the task of a name; raises UnknownTask.
    """

    registry: CollectorRegistry
    health: Callable[[], LearnerStatus]
    boundaries: BoundaryRequests
    task: Callable[[str], Task]


@contextmanager
def answering(settings: Settings, told: Told, crashed: Callable[[], None]) -> Iterator[str]:
    """Answer meanwhile, and yield the address of the metrics.

    Args:
        crashed: called, from another thread, where the server ends without being asked to.

    Raises:
        SettingsError: the port is taken, or a token or a certificate is none.
        ProcessEnded: the server had ended before it was asked to.
    """
    options = settings.learner
    certificate = certificate_of("learner.tls", options)
    locks = Locks(options)
    names = ("--set learner.metrics_host", "--set learner.metrics_port")
    listener = listen(options.metrics_host, options.metrics_port, *names)
    warn_of_open_door("learner.read_token", options.metrics_host, is_open=not locks.reading)
    address = f"{url_of(listener, tls=certificate is not None)}/metrics"

    def make() -> ASGIApp:
        from services.learner_api.app import create_app  # FastAPI: beside the rest of the start

        return locks.locked(create_app(settings, told))

    with served(listener, make, DRAIN_SECONDS, crashed, options, certificate):
        yield address
