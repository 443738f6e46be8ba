"""The page of a predictor elsewhere: what is told of the learner there."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from services.journal import Journal
from si_stream import events
from tests.services.learner_api.serving import answers
from tests.services.predictor.mirror.following import (
    serves,
)
from tests.services.predictor.serving import (
    Teacher,
    listening,
    serving,
    wait_for,
)
from tests.services.statuses import a_status


def test_the_page_is_as_good_as_where_the_learner_is(learned: Path, copy: Path) -> None:
    status = a_status()
    with (
        answers(learned, health=lambda: status, tasks=("a", "b")) as there,
        serving(learned) as local,
        serving(copy, source=there) as remote,
    ):
        for running in (local, remote):
            running.wait_until_ready()
        wait_for(
            lambda: (
                (copy / "events.jsonl").exists()
                and (copy / "events.jsonl").read_bytes() == (learned / "events.jsonl").read_bytes()
            )
        )
        with listening(local) as told_here, listening(remote) as told_there:
            here, elsewhere = next(told_here)["sections"], next(told_there)["sections"]
        learner = elsewhere.pop("learner")
        here.pop("learner")
        assert elsewhere == here
        assert learner["away"] is False  # although that clock is years behind
        assert learner["step"] == status.step
        for task in ("a", "b"):
            samples = [one.client.get(f"/samples?task={task}") for one in (local, remote)]
            assert samples[0].json() == samples[1].json()
            assert bool(samples[0].json()["samples"]) == (task == "a")
        assert remote.client.get("/samples?task=none").status_code == 404


def test_while_the_learner_is_away_there_are_no_samples_and_no_fault(
    teacher: Teacher, copy: Path
) -> None:
    teacher.publish()
    with answers(teacher.store.epochs.parent) as there, serving(copy, source=there) as running:
        serves(running, 1, 3)
    with serving(copy, source=there) as running:
        serves(running, 1, 3)
        answer = running.client.get("/samples?task=digits-0-1")
    assert answer.json() == {"task": "digits-0-1", "samples": []}


def test_what_happens_there_is_on_the_page_here_soon_after(
    teacher: Teacher, there: str, copy: Path
) -> None:
    with (
        closing(Journal(teacher.store.epochs.parent)) as written,
        serving(copy, source=there) as running,
        listening(running) as told,
    ):
        for number in (1, 2):
            written.hear(events.LearnerStarted(number, 10 * number, 80 * number))
            while len(next(told)["sections"].get("events", ())) < number:
                pass
