"""The accuracy matrix and what is read off it: average accuracy, forgetting, backward transfer.

R[i, j] is the holdout accuracy on task j after training through the i-th boundary. A cell is
None where task j had not begun, or has no holdout. Invariant: the figures count every row that
there ever was, but only the newest `KEPT_ROWS` are kept, for a stream may go on for years.
"""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel

KEPT_ROWS = 500


class AccuracyMatrix(BaseModel):
    """Rows in the order of the boundaries, columns in the order in which the tasks began.

    Example (two tasks; the first is forgotten in part):
        >>> matrix = AccuracyMatrix()
        >>> matrix.append([0.99], trained=0)
        >>> matrix.append([0.59, 0.97], trained=1)
        >>> matrix.average_accuracy(), round(matrix.mean_forgetting(), 2)
        (0.78, 0.4)
        >>> round(matrix.backward_transfer(), 2)
        -0.4
    """

    rows: list[list[float | None]] = []
    dropped_rows: int = 0
    learned: dict[int, float | None] = {}
    """Of each task, R[j, j]: the accuracy at the boundary that first ended it."""
    best_dropped: dict[int, float] = {}
    """Of each task, the highest accuracy in the rows that are no longer kept."""
    trained: int | None = None
    """The task that ended at the last boundary."""

    def append(self, row: list[float | None], trained: int) -> None:
        """The accuracies at a boundary, and which task has just been trained."""
        self.rows.append(row)
        self.trained = trained
        self.learned.setdefault(trained, row[trained])
        while len(self.rows) > KEPT_ROWS:
            self.dropped_rows += 1
            for task, cell in enumerate(self.rows.pop(0)):
                if (best := _best([cell, self.best_dropped.get(task)])) is not None:
                    self.best_dropped[task] = best

    def copied(self) -> AccuracyMatrix:
        """As it is now; a row, once appended, is never changed."""
        return self.model_copy(
            update={
                "rows": [*self.rows],
                "learned": dict(self.learned),
                "best_dropped": dict(self.best_dropped),
            }
        )

    def average_accuracy(self) -> float | None:
        """Mean of the last row; None before there is one."""
        return _mean(self.rows[-1] if self.rows else [])

    def best(self, task: int) -> float | None:
        """max over all boundaries of R[l, j]; None where task j was never measured at one."""
        return self._best_of(task, self.rows)

    def forgetting(self, task: int, now: float | None = None) -> float | None:
        """f_j = max over earlier boundaries of R[l, j], less the accuracy now.

        Args:
            task: j.
            now: the accuracy to compare; by default the last row's, with the maximum over the
                rows before it (Chaudhry et al. 2018). Below zero where the task got better.
        """
        rows = self.rows if now is not None else self.rows[:-1]
        if now is None:
            now = self._last(task)
        best = self._best_of(task, rows)
        return None if best is None or now is None else best - now

    def mean_forgetting(self) -> float | None:
        """Mean of f_j over the tasks but the one trained last; None with a single task."""
        return _mean(self.forgetting(task) for task in self._earlier_tasks())

    def backward_transfer(self) -> float | None:
        """Mean over j < T of R[T, j] − R[j, j] (Lopez-Paz & Ranzato 2017, BWT).

        R[j, j] is taken where task j first ended, should it have come again.
        """
        changes: list[float | None] = []
        for task in self._earlier_tasks():
            learned, now = self.learned[task], self._last(task)
            changes.append(None if learned is None or now is None else now - learned)
        return _mean(changes)

    def _earlier_tasks(self) -> list[int]:
        """All but the task trained last, which is not always the one that began last."""
        return [task for task in self.learned if task != self.trained]

    def _best_of(self, task: int, rows: list[list[float | None]]) -> float | None:
        """In these rows and those that are no longer kept."""
        return _best([self.best_dropped.get(task), *(row[task] for row in rows if task < len(row))])

    def _last(self, task: int) -> float | None:
        return self.rows[-1][task] if self.rows and task < len(self.rows[-1]) else None


def _best(cells: Iterable[float | None]) -> float | None:
    return max((cell for cell in cells if cell is not None), default=None)


def _mean(cells: Iterable[float | None]) -> float | None:
    numbers = [cell for cell in cells if cell is not None]
    return sum(numbers) / len(numbers) if numbers else None
