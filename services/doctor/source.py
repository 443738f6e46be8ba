"""What a predictor follows, where it is not the directory: another one, or a learner elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from services.doctor.finding import Finding, fail, ok, refused, warn
from si_stream.errors import SettingsError
from si_stream.settings import PredictorOptions, Settings

NEWEST = "/snapshots/newest"


def look(settings: Settings) -> Iterator[Finding]:
    options = settings.predictor
    if options.source_url is not None:
        yield of_learner(options)
    elif options.source is not None:
        yield of_directory(Path(options.source))


def of_directory(directory: Path) -> Finding:
    if directory.is_dir():
        return ok("source", f"{directory} is there")
    return warn("source", f"{directory} is no directory", "name that of a learner as the source")


def of_learner(options: PredictorOptions) -> Finding:
    from services.predictor.mirror.learner import SourceAway, SourceLearner, SourceRefuses

    advice = "name the learner's metrics address with predictor.source"
    try:
        with (
            closing(SourceLearner(options)) as learner,
            learner.asked("HEAD", NEWEST) as answer,
        ):
            status, told = answer.status_code, answer.headers
    except SettingsError as error:
        return refused("source", error, "correct it")
    except SourceAway as error:
        return warn("source", str(error), "is the learner up, and the way to it open?")
    except SourceRefuses as error:
        return fail("source", str(error), "see there")
    if status == 503:
        return ok("source", f"{options.source_url} answers, and has no snapshot yet")
    if status != 200 or "si-stream-epoch" not in told:
        return fail("source", f"{options.source_url} is no learner of this version", advice)
    version = f"{told['si-stream-epoch']}.{told.get('si-stream-step', '?')}"
    return ok("source", f"{options.source_url} offers snapshot {version}")
