"""Samples to try the model with, asked of the learner, which has the holdout sets."""

from __future__ import annotations

import logging
from urllib.parse import quote

from pydantic import ValidationError

from services.predictor.mirror.learner import SourceLearner
from services.samples import Named, SampleList
from si_stream.errors import SIStreamError
from si_stream.learning.options import ModelOptions

logger = logging.getLogger(__name__)
LIMIT_BYTES = 32 * 2**20


class SamplesElsewhere:
    """As `services.samples.Samples`; of none where the learner has none, or is away."""

    def __init__(self, learner: SourceLearner) -> None:
        self._learner = learner

    def of(self, task: Named, model: ModelOptions) -> bytes:
        try:
            found = self._learner.get(f"/samples?task={quote(task.name, safe='')}", LIMIT_BYTES)
            if found is not None:
                SampleList.model_validate_json(found)
                return found
        except ValidationError as error:
            reason = str(error).splitlines()[0]
            logger.warning("no samples of task %s: %s", task.name, reason)
        except SIStreamError as error:
            logger.warning("no samples of task %s: %s", task.name, error)
        return SampleList(task=task.name, samples=[]).model_dump_json().encode()
