"""The page beside a learner and a predictor that come and go: what it shows is true."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from playwright.sync_api import Browser

from services.journal import Journal
from si_stream import events
from tests.services.learner_process import paused
from tests.services.predictor.page.watching import Live, Watched, live, watched
from tests.services.predictor.serving import serving

TASKS = 5


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Live]:
    with live(tmp_path / "model") as running:
        yield running


def answered(running: Live, path: str) -> dict[str, Any]:
    with urlopen(f"{running.url}{path}", timeout=60) as answer:
        body: dict[str, Any] = json.load(answer)
        return body


def in_journal(running: Live, track: str, task: str) -> list[list[float]]:
    """Samples and percents of a task. What was learned twice gave the same bits."""
    told = {
        one["samples"]: 100 * one["accuracy"]
        for one in running.journal("Evaluated")
        if (one["track"], one["task"]) == (track, task)
    }
    return [[*sorted(told)], [told[samples] for samples in sorted(told)]]


def assert_that_all_is_true(page: Watched, running: Live) -> None:
    """What is shown is what routes, journal and status say."""
    matrices, shown = answered(running, "/accuracy-matrix"), page.figures()
    for track, matrix in matrices["tracks"].items():
        for figure in ("average_accuracy", "mean_forgetting", "backward_transfer"):
            assert shown[f"{track} {figure}"] == matrix[figure]
        for row, cells in enumerate(matrix["rows"]):
            for column, cell in enumerate(cells):
                assert shown.get(f"matrix {track} {row} {column}") == cell
        curves = page.curves(track)
        for task in matrices["tasks"]:
            samples, percents = in_journal(running, track, task)
            drawn = curves[task.removeprefix("digits-")]
            assert drawn[0] == samples
            assert drawn[1] == pytest.approx(percents, abs=0.001)
            assert 100 * shown[f"{track} {task} accuracy"] == pytest.approx(percents[-1])
    status = running.status()
    assert f"step {status['step']:,} · {status['samples']:,} samples" in page.text("#identity")


def test_it_shows_a_replay_truly_also_when_the_learner_is_killed_and_started_again(
    chromium: Browser, running: Live
) -> None:
    running.start("predictor")
    while running.children["predictor"].address is None:
        pass
    with watched(chromium, running.url) as page:
        page.wait_for_text("#healthy .verdict", "Nothing here yet")
        page.wait_for_text("#ask-hint", "no model to ask yet")
        running.start("learner")
        page.wait_for_text("#tasks .empty", "No task yet")
        page.wait_for("document.querySelector('#state').textContent !== 'no learner yet'")
        assert page.text("#forgetting .verdict") == "Too early to say"

        running.replay(epochs=8)
        while len(running.journal("Consolidated")) < 4:  # two boundaries, both tracks
            page.page.wait_for_timeout(20)
        running.kill("learner")
        page.wait_for_text("#state", "away since")
        assert page.text("#healthy .verdict") == "No"
        assert "Predictions go on" in page.text("#healthy .because")

        running.start("learner")
        page.wait_for_text("#happenings", "its 2nd")
        page.wait_for_text("#happenings", "The stream ended")
        page.wait_for_text("#state", "idle, up to date")
        status = running.status()
        page.wait_for_text("#healthy .figures", f"step {status['step']:,}")
        assert status["epoch"] == 2
        assert_that_all_is_true(page, running)
        assert page.text("#happenings").count("ended after") >= TASKS

        running.stop("learner")
        page.wait_for_text("#healthy .verdict", "Stopped")
        assert page.faults == []


def test_it_finds_the_predictor_again_when_that_is_started_again(
    chromium: Browser, running: Live
) -> None:
    running.begin()
    with watched(chromium, running.url) as page:
        page.wait_for_text("#happenings", "The stream ended")
        assert page.faults == []
        assert running.stop("predictor") == 0
        page.wait_for("!document.querySelector('#connection').hidden")
        assert "lost" in page.text("#connection")
        assert page.text("#state") == "not connected"  # and not that all is well
        running.start("predictor")
        page.wait_for("document.querySelector('#connection').hidden")
        page.wait_for_text("#happenings", "The stream ended")
        refused = [fault for fault in page.faults if "ERR_CONNECTION_REFUSED" not in fault]
        assert [fault for fault in refused if "/events" not in fault] == []
        del page.faults[:]
        running.replay(epochs=1)  # and what comes then is shown
        page.wait_for_text("#happenings", "was taken up again")
        assert page.faults == []


def test_it_says_so_where_the_predictor_hangs_without_a_word(
    chromium: Browser, running: Live
) -> None:
    """No error comes of a connection that is merely silent."""
    running.begin()
    with watched(chromium, running.url) as page:
        page.wait_for_text("#healthy .verdict", "Yes")
        with paused(running.children["predictor"]):
            page.wait_for("document.querySelector('#state').textContent === 'not connected'")
            assert "lost" in page.text("#connection")
        page.wait_for("document.querySelector('#connection').hidden")
        page.wait_for_text("#healthy .verdict", "Yes")


def test_a_name_from_the_stream_is_text_and_no_markup(chromium: Browser, tmp_path: Path) -> None:
    name = '<a href="https://example.com/">%{y}</a>'
    journal = Journal(tmp_path)
    journal.hear(events.TaskOpened(name, 0, 0, 1, 0))
    for step in (10, 20):
        journal.hear(events.Evaluated("main", name, step, 8 * step, 0.75, 0.04, 100, None))
    journal.close()
    with serving(tmp_path) as server, watched(chromium, server.url) as page:
        page.curves("main")
        assert page.page.locator("#course a, #tasks a, #happenings a").count() == 0
        shown = page.page.locator("#course .annotation-text").first.text_content()
        assert shown is not None
        assert shown.replace("\u200b", "") == name
        assert page.faults == []


def test_with_a_token_it_asks_for_it_and_then_shows_and_answers_everything(
    chromium: Browser, learned: Path
) -> None:
    token = "a-token-of-the-tests"
    addresses = []
    with serving(learned, token=token) as server, watched(chromium, server.url) as page:
        server.wait_until_ready()
        page.page.on("request", lambda request: addresses.append(request.url))
        page.wait_for_text("#lock-hint", "who have its token alone")
        assert page.text("#state") == "locked"
        for given, says in (("not-this-token", "does not take the token"), (token, "")):
            page.page.locator("#token").fill(given)
            page.page.locator("#token").press("Enter")
            page.wait_for_text("#lock-hint", says)
            page.wait_for(f"document.querySelector('#lock').hidden === {str(not says).lower()}")
        page.wait_until_shown()
        page.curves("main")
        assert not page.page.locator(".needs-token").first.is_visible()
        page.wait_for("document.querySelectorAll('.samples button').length")
        page.page.locator(".samples button").first.click()
        page.wait_for("document.querySelectorAll('#heads .head').length")
        assert [fault for fault in page.faults if "401" not in fault] == []

        page.page.reload()  # the tab keeps it
        del page.faults[:]  # of what was being listened to
        page.wait_until_shown()
        assert page.faults == []
        kept = page.page.evaluate("[document.cookie, localStorage.length, location.href]")
        assert kept == ["", 0, f"{server.url}/"]
        assert not [address for address in addresses if "token" in address]
