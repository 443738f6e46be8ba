"""The board: what the page shows is what routes, journal and status say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from services.journal import Journal
from si_stream import events
from si_stream.evaluation.accuracy_matrix import AccuracyMatrix
from si_stream.evaluation.measures import Live, Measures
from tests.services.predictor.serving import Teacher, listening, serving


def test_the_board_tells_what_the_routes_answer_and_the_learner_has_written(learned: Path) -> None:
    with serving(learned) as running:
        running.wait_until_ready()
        with listening(running) as told:
            sections = next(told)["sections"]
        matrices = running.client.get("/accuracy-matrix").json()
        assert sections["model"] == running.client.get("/tasks").json()
    status = json.loads((learned / "status.json").read_text())
    assert sections["learner"] == {**status, "away": False}
    for track in sections["tracks"]:
        matrix = matrices["tracks"][track["name"]]
        for figure in ("consolidator", "average_accuracy", "mean_forgetting", "backward_transfer"):
            assert track[figure] == matrix[figure]
        rows = [row["cells"] for row in sections["matrix"]["tracks"][track["name"]]]
        assert rows == matrix["rows"]
    assert [track["name"] for track in sections["tracks"]] == ["main", "shadow"]
    assert [boundary["task"] for boundary in sections["boundaries"]] == ["a", "b"]
    assert [row["name"] for row in sections["tasks"]] == ["a", "b"]


def test_without_a_journal_the_board_tells_what_the_snapshot_knows(
    learned: Path, tmp_path: Path
) -> None:
    (tmp_path / "epochs").symlink_to(learned / "epochs")
    told = []
    for directory in (learned, tmp_path):
        with serving(directory) as running:
            running.wait_until_ready()
            with listening(running) as told_here:
                told.append(next(told_here)["sections"])
    with_journal, without = told
    assert without["tracks"] == with_journal["tracks"]
    assert without["events"] == without["visits"] == []
    for track, rows in with_journal["matrix"]["tracks"].items():
        cells = [row["cells"] for row in rows]
        assert [row["cells"] for row in without["matrix"]["tracks"][track]] == cells
    for one, other in zip(without["tasks"], with_journal["tasks"], strict=True):
        for track, measured in other["tracks"].items():
            assert one["tracks"][track]["accuracy"] == measured["accuracy"]
            assert one["tracks"][track]["forgetting"] == measured["forgetting"]


def without_the_middle(tmp_path: Path, *, numbered: bool) -> Teacher:
    """A model of three tasks, of which the snapshot leaves out the second, `gone`."""
    teacher = Teacher(tmp_path)
    teacher.teach()
    first, last = teacher.snapshot().manifest.tasks
    matrix = AccuracyMatrix()
    for trained, row in enumerate(([0.9], [0.8, 0.5], [0.7, 0.4, 0.95])):
        matrix.append([*row], trained=trained)
    measures = Measures(consolidator="synaptic-intelligence", accuracy=matrix)
    measures.live = {
        first.name: Live(accuracy=0.6, samples=100, step=3),
        last.name: Live(accuracy=0.9, samples=100, step=3),
    }
    if numbered:
        first, last = (task.model_copy(update={"number": n}) for task, n in ((first, 0), (last, 2)))
    teacher.publish(tasks=[first, last], tracks={"main": measures})
    return teacher


def test_a_task_that_the_snapshot_leaves_out_moves_no_column(tmp_path: Path) -> None:
    without_the_middle(tmp_path, numbered=True)
    expected = [[0.9, None], [0.8, None], [0.7, 0.95]]
    with serving(tmp_path) as running:
        running.wait_until_ready()
        with listening(running) as told:
            sections = next(told)["sections"]
        matrices = running.client.get("/accuracy-matrix").json()
    assert sections["matrix"]["tasks"] == matrices["tasks"] == ["digits-0-1", "digits-2-3"]
    assert [row["cells"] for row in sections["matrix"]["tracks"]["main"]] == expected
    assert matrices["tracks"]["main"]["rows"] == expected
    forgetting = [row["tracks"]["main"]["forgetting"] for row in sections["tasks"]]
    assert forgetting == pytest.approx([0.9 - 0.6, 0.95 - 0.9])


def test_columns_of_a_snapshot_without_numbers_are_those_that_the_journal_knows(
    tmp_path: Path,
) -> None:
    without_the_middle(tmp_path, numbered=False)
    journal = Journal(tmp_path)
    for number, name in enumerate(("digits-0-1", "gone", "digits-2-3")):
        journal.hear(events.TaskOpened(name, number, number, number + 1, 100 * number))
    journal.close()
    with serving(tmp_path) as running:
        running.wait_until_ready()
        with listening(running) as told:
            matrix = next(told)["sections"]["matrix"]
    assert matrix["tasks"] == ["digits-0-1", "gone", "digits-2-3"]
    assert [row["cells"] for row in matrix["tracks"]["main"]][-1] == [0.7, 0.4, 0.95]


def test_forgetting_is_what_was_compared_with_the_best_when_it_was_measured(
    tmp_path: Path,
) -> None:
    teacher = Teacher(tmp_path)
    teacher.teach()
    measures = teacher.snapshot().manifest.tracks["main"]
    measures.live = {
        "digits-0-1": Live(accuracy=0.6, samples=100, step=3, forgetting=0.123),
    }
    teacher.publish(tracks={"main": measures})
    with serving(tmp_path) as running:
        running.wait_until_ready()
        with listening(running) as told:
            [first, _] = next(told)["sections"]["tasks"]
    assert first["tracks"]["main"]["forgetting"] == 0.123
