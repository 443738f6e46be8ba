"""Every error that SI Stream raises on purpose, drawn once.

SIStreamError
├── SettingsError             a setting that is unknown, out of range or contradicts another
├── DataError                 a data set that cannot be found or read
├── MessageError              a message, or a row of one, that cannot be learned from
├── BrokerError               the broker cannot do what was asked
│   ├── StreamNotFound
│   ├── MessageTooLarge       for what the stream takes
│   └── PositionOutOfRange
├── CheckpointError           a checkpoint or snapshot cannot be written or read
│   ├── CorruptCheckpoint     its checksum or its structure is wrong
│   ├── NewerFormat           it is whole, and this version does not know all that is in it
│   ├── IdentityMismatch      it belongs to another model or another stream
│   └── Superseded            another learner writes this model's checkpoints now
├── NotFinite                 learning has left the finite numbers, again and again
├── ProcessEnded              a process that others depend on has ended
└── RequestError              a request over HTTP that cannot be answered
    ├── MalformedRequest
    ├── InputTooLarge
    ├── UnknownTask
    ├── NoSnapshotYet
    ├── NothingThere          yet, or ever
    ├── Gone                  it was there
    └── PredictionError       it asks for a prediction
        ├── EmptyInput
        ├── WrongInput        another shape, dtype or range than the model's
        ├── UnknownModel      or a version of it that is not the one being served
        ├── Overloaded        as many are in as may be
        ├── DeadlinePassed    nobody waits for the answer any more
        └── ShuttingDown

A message names the value, the limit and what to do next. `services` maps each to
one HTTP problem type and one exit code; nothing in here knows of either.
"""

from __future__ import annotations

from enum import StrEnum


class SIStreamError(Exception):
    """Anything that a person can mend; its text is fit to be shown to them as it is."""


class SettingsError(SIStreamError):
    pass


class DataError(SIStreamError):
    pass


class Reason(StrEnum):
    """Why a message or a row was not learned from: the `reason` label of the metrics."""

    UNDECODABLE = "undecodable"
    WRONG_SHAPE = "wrong_shape"
    WRONG_DTYPE = "wrong_dtype"
    LABEL_OUT_OF_RANGE = "label_out_of_range"
    NOT_FINITE = "not_finite"
    TOO_LARGE = "too_large"
    WRONG_TASK = "wrong_task"
    TOO_MANY_TASKS = "too_many_tasks"


class MessageError(SIStreamError):
    """A message, or one of its rows, that cannot be learned from, and the reason to count."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class BrokerError(SIStreamError):
    pass


class StreamNotFound(BrokerError):
    pass


class MessageTooLarge(BrokerError):
    pass


class PositionOutOfRange(BrokerError):
    pass


class CheckpointError(SIStreamError):
    pass


class CorruptCheckpoint(CheckpointError):
    pass


class NewerFormat(CheckpointError):
    pass


class IdentityMismatch(CheckpointError):
    pass


class Superseded(CheckpointError):
    pass


class NotFinite(SIStreamError):
    pass


class ProcessEnded(SIStreamError):
    pass


class RequestError(SIStreamError):
    pass


class MalformedRequest(RequestError):
    pass


class InputTooLarge(RequestError):
    pass


class UnknownTask(RequestError):
    pass


class NoSnapshotYet(RequestError):
    pass


class NothingThere(RequestError):
    pass


class Gone(RequestError):
    pass


class PredictionError(RequestError):
    pass


class EmptyInput(PredictionError):
    pass


class WrongInput(PredictionError):
    pass


class UnknownModel(PredictionError):
    pass


class Overloaded(PredictionError):
    pass


class DeadlinePassed(PredictionError):
    pass


class ShuttingDown(PredictionError):
    pass
