"""The faults of single rows: a label that the model has no output for, an input not finite.

Invariant: a row that is not reported can be learned from; its neighbours' faults are no
reason to leave it out. Where all is well this costs one pass over the labels, and over
float inputs one more.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from si_stream.errors import MessageError, Reason
from si_stream.messages.kinds import Samples, SampleSchema


class RejectedRow(NamedTuple):
    row: int
    error: MessageError


def rejected_rows(samples: Samples, schema: SampleSchema) -> list[RejectedRow]:
    """The rows that cannot be learned from, in order, each with its first fault.

    >>> samples = Samples(np.zeros((3, 2), np.uint8), np.array([0, 7, 1]))
    >>> schema = SampleSchema(input_shape=(2,), dtype="uint8", outputs=2)
    >>> [(row, error.reason.value) for row, error in rejected_rows(samples, schema)]
    [(1, 'label_out_of_range')]
    """
    # As unsigned numbers negative labels are the greatest: one pass finds both ends.
    labels_good = samples.labels.view(np.uint64).max() < schema.outputs
    inputs_good = samples.inputs.dtype == np.uint8 or bool(np.isfinite(samples.inputs).all())
    if labels_good and inputs_good:
        return []
    bad_label = (samples.labels < 0) | (samples.labels >= schema.outputs)
    inputs = samples.inputs.reshape(len(samples), -1)
    bad_input = ~np.isfinite(inputs).all(axis=1)
    rejected = []
    for row in np.flatnonzero(bad_label | bad_input).tolist():
        if bad_label[row]:
            reason = Reason.LABEL_OUT_OF_RANGE
            label = samples.labels[row]
            problem = f"label {label} is not from 0 to {schema.outputs - 1}{schema.limit}"
        else:
            element = int(np.argmin(np.isfinite(inputs[row])))
            reason = Reason.NOT_FINITE
            problem = f"element {element} of the input is {inputs[row, element]}, not finite"
        rejected.append(RejectedRow(row, MessageError(reason, f"row {row}: {problem}")))
    return rejected
