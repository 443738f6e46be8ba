"""`si-stream serve`: a learner and a predictor, as two processes of one command.

Invariant: they run together or not at all. SIGTERM and Ctrl-C stop both, and the command ends when
the learner's checkpoint is written; where one ends without being asked to, the other is stopped.
"""

from __future__ import annotations

import os
import sys
import time

from services.logs import log_to_stderr
from services.logs.relay import announce, passing_on
from services.processes import Child, caught_signals, children
from si_stream.errors import SettingsError
from si_stream.settings import Settings

LOOK_SECONDS = 0.1


def run(settings: Settings) -> None:
    """Run both until a signal, or until the stream's end where `learner.exit_at_end` says so.

    Raises:
        SettingsError: the predictor is to follow another learner.
        ProcessEnded: one of them could not start, or has ended without being asked to.
    """
    if settings.predictor.source is not None:
        raise SettingsError(
            f"predictor.source is {settings.predictor.source!r}, and this predictor follows the "
            "learner beside it; unset it, or start si-stream predictor alone"
        )
    log_to_stderr(settings.log)
    if sys.stderr.isatty():  # the children, which write into a pipe, cannot know
        os.environ.setdefault("FORCE_COLOR", "1")
    heed = passing_on(settings.log)
    with caught_signals() as caught, children() as running:
        learner = Child("learner", settings=settings, heed=heed)
        running.append(learner)
        predictor = Child("predictor", settings=settings, heed=heed)
        running.append(predictor)
        announced = False
        while not caught:
            for child in running:
                if child.code is None:
                    continue
                if child is learner and settings.learner.exit_at_end and child.code == 0:
                    return
                raise child.failure("without being asked to")
            if not announced and learner.address and predictor.address:
                announced = True
                announce(
                    settings.log,
                    f"ready: predictions and a page to watch it live at {predictor.address}, the "
                    f"learner's metrics at {learner.address}, the model in {settings.directory}",
                    predictor=predictor.address,
                    learner=learner.address,
                    directory=settings.directory,
                )
            time.sleep(LOOK_SECONDS)
    for child in running:
        if child.wait() and child.address:  # one stopped before it was ready has lost nothing
            raise child.failure("out of order when it was asked to stop")
