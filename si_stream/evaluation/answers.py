"""Answers: which samples of a holdout set a learner answers rightly at one moment.

Invariant: they are in the order of the set, whose rows never change and only become more. So
answers of two moments are compared sample by sample, the earlier ones with the first of the later.
"""

from __future__ import annotations

import math
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, PositiveInt, model_validator


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """Of each sample ``[n]``, at least one, whether it is answered rightly.

    Example (of four samples two are forgotten and one is new):
        >>> then, now = (Answers(np.array(row, bool)) for row in ([1, 1, 1, 0], [1, 0, 0, 1]))
        >>> then.accuracy - now.accuracy, round(now.paired_error(then), 3)
        (0.25, 0.415)
    """

    right: npt.NDArray[np.bool_]

    @property
    def samples(self) -> int:
        return len(self.right)

    @property
    def accuracy(self) -> float:
        return int(self.right.sum()) / self.samples

    def paired_error(self, then: Answers) -> float:
        """The standard error of ``then.accuracy - self.accuracy``, of earlier answers.

        With b of n samples right then and wrong now, and c wrong then and right now, it is
        √(b + c − (b − c)²/n) / n (McNemar 1947, Psychometrika 12): what was answered alike says
        nothing of a difference. Where the set had m of its n samples then, a sample of these is in
        the difference as x = then − (m/n) now, and the later ones are independent of it.
        """
        m, n = then.samples, self.samples
        share, first = m / n, self.right[:m]
        was, stayed, both = (int(one.sum()) for one in (then.right, first, then.right & first))
        mean_square = (was - 2 * share * both + share**2 * stayed) / m  # of x; m = n: (b + c) / n
        variance = (mean_square - ((was - share * stayed) / m) ** 2) / m
        if later := n - m:
            accuracy = int(self.right[m:].sum()) / later
            variance += (1 - share) ** 2 * accuracy * (1 - accuracy) / later
        return math.sqrt(max(0.0, variance))

    def unpaired_error(self, then: float) -> float:
        """The same where of the earlier answers the accuracy alone is known: as if these had been
        on other samples, which makes it larger."""
        return unpaired_error(then, self.accuracy, self.samples)


def standard_error(accuracy: float, samples: int) -> float:
    """Of a proportion, √(p(1−p)/n)."""
    return math.sqrt(accuracy * (1.0 - accuracy) / samples)


def unpaired_error(then: float, now: float, samples: int) -> float:
    """Of the difference of two accuracies, as if each had been measured on samples of its own."""
    return math.hypot(standard_error(then, samples), standard_error(now, samples))


class KeptAnswers(BaseModel):
    """As they lie in a checkpoint: a bit a sample, 8 to a byte, the bytes as Base64."""

    samples: PositiveInt
    right: str

    @model_validator(mode="after")
    def _one_bit_each(self) -> Self:
        """More than there are would be made up, and take memory."""
        if len(self.right) != 4 * math.ceil(math.ceil(self.samples / 8) / 3):
            raise ValueError(f"{self.samples} answers do not take {len(self.right)} characters")
        return self

    @classmethod
    def of(cls, answers: Answers) -> KeptAnswers:
        packed = np.packbits(answers.right).tobytes()
        return cls(samples=answers.samples, right=b64encode(packed).decode())

    def unpacked(self) -> Answers:
        packed = np.frombuffer(b64decode(self.right), np.uint8)
        return Answers(np.unpackbits(packed, count=self.samples).astype(np.bool_))
