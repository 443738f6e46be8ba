"""The accuracy matrix and what is read off it: average accuracy, forgetting, backward transfer.

R[i, j] is the holdout accuracy on task j after training through the i-th boundary. A cell is
None where task j had not begun, or has no holdout.
"""

from __future__ import annotations

from pydantic import BaseModel


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
    trained: list[int] = []
    """Of each row, the task that ended at its boundary."""

    def append(self, row: list[float | None], trained: int) -> None:
        """The accuracies at a boundary, and which task has just been trained."""
        self.rows.append(row)
        self.trained.append(trained)

    def average_accuracy(self) -> float | None:
        """Mean of the last row; None before there is one."""
        return _mean(self.rows[-1] if self.rows else [])

    def forgetting(self, task: int, now: float | None = None) -> float | None:
        """f_j = max over earlier boundaries of R[l, j], less the accuracy now.

        Args:
            task: j.
            now: the accuracy to compare; by default the last row's, with the maximum over the
                rows before it (Chaudhry et al. 2018). Below zero where the task got better.
        """
        rows = self.rows if now is not None else self.rows[:-1]
        earlier = [row[task] for row in rows if task < len(row)]
        best = max((cell for cell in earlier if cell is not None), default=None)
        if now is None and self.rows and task < len(self.rows[-1]):
            now = self.rows[-1][task]
        return None if best is None or now is None else best - now

    def mean_forgetting(self) -> float | None:
        """Mean of f_j over the tasks but the one trained last; None with a single task."""
        return _mean([self.forgetting(task) for task in self._earlier_tasks()])

    def backward_transfer(self) -> float | None:
        """Mean over j < T of R[T, j] − R[j, j] (Lopez-Paz & Ranzato 2017, BWT).

        R[j, j] is taken where task j first ended, should it have come again.
        """
        changes: list[float | None] = []
        for task in self._earlier_tasks():
            learned, now = self.rows[self.trained.index(task)][task], self.rows[-1][task]
            changes.append(None if learned is None or now is None else now - learned)
        return _mean(changes)

    def _earlier_tasks(self) -> list[int]:
        """All but the task trained last, which is not always the one that began last."""
        return [task for task in dict.fromkeys(self.trained) if task != self.trained[-1]]


def _mean(cells: list[float | None]) -> float | None:
    numbers = [cell for cell in cells if cell is not None]
    return sum(numbers) / len(numbers) if numbers else None
