"""The page for everybody: on a phone, in the dark, by keyboard, for a screen reader; and asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.request import Request, urlopen

import numpy as np
import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, ViewportSize

from tests.services.predictor.page.watching import Live, Watched, live, watched

PHONE, DESK = ViewportSize(width=390, height=844), ViewportSize(width=1440, height=900)


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A predictor beside a learner that has learned five tasks and was stopped."""
    with live(tmp_path_factory.mktemp("page") / "model") as running:
        running.start("learner")
        running.replay(epochs=6)
        while not running.journal("StreamEnded"):
            assert running.children["learner"].code is None
        running.stop("learner")
        running.start("predictor")
        while running.children["predictor"].address is None:
            pass
        yield running


@pytest.fixture
def page(chromium: Browser, learned: Live) -> Iterator[Watched]:
    with watched(chromium, learned.url, viewport=DESK) as page:
        page.wait_until_shown()
        page.wait_for("document.querySelectorAll('.samples button').length")
        yield page
        assert page.faults == []


def predicted(running: Live, body: str) -> dict[str, Any]:
    headers = {"Content-Type": "application/json"}
    request = Request(f"{running.url}/predict", body.encode(), headers)
    with urlopen(request, timeout=60) as answer:
        found: dict[str, Any] = json.load(answer)["predictions"][0]
        return found


def assert_that_answers_are_those_of_predict(
    page: Watched, learned: Live, bodies: list[str]
) -> None:
    """Each head's, and that of the request which names no task."""
    page.wait_for("document.querySelectorAll('#heads .head').length === 6")
    assert len(bodies) == 6
    shown = page.page.evaluate(
        "[...document.querySelectorAll('#heads .head')].map((head) => "
        "[head.dataset.head, +head.dataset.label, JSON.parse(head.dataset.probabilities)])"
    )
    asked = {json.loads(body).get("task", ""): body for body in bodies}
    assert {head for head, *_ in shown} == asked.keys()
    for head, label, probabilities in shown:
        prediction = predicted(learned, asked[head])
        assert label == prediction["label"]
        assert probabilities == prediction["probabilities"]


def test_a_drawn_digit_is_answered_by_every_head_as_predict_answers_it(
    page: Watched, learned: Live
) -> None:
    bodies: list[str] = []
    page.page.on(
        "request", lambda one: bodies.append(one.post_data or "") if one.method == "POST" else None
    )
    page.page.locator("#pad").scroll_into_view_if_needed()
    box = page.page.locator("#pad").bounding_box()
    assert box is not None
    mouse = page.page.mouse
    mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.15 * box["height"])
    mouse.down()
    mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.85 * box["height"], steps=8)
    mouse.up()
    assert_that_answers_are_those_of_predict(page, learned, bodies)
    [drawn] = json.loads(bodies[0])["inputs"]
    assert [len(row) for row in drawn] == [8] * 8
    assert all(type(pixel) is int and 0 <= pixel <= 255 for row in drawn for pixel in row)
    columns = [sum(row[column] for row in drawn) for column in range(8)]
    assert columns[0] == columns[7] == 0  # a stroke from top to bottom, in the middle
    assert min(max(row) for row in drawn) > 64
    assert "takes this for" in page.text("#said")
    page.page.locator("#clear").click()
    assert page.text("#said") == "Draw a digit, or pick a sample."
    assert page.page.locator("#heads .head").count() == 0


def test_a_sample_is_picked_by_keyboard_and_is_one_of_the_holdout_set(
    page: Watched, learned: Live
) -> None:
    page.page.locator("#sample-task").select_option("digits-2-3")
    page.wait_for("document.querySelector('.samples button')?.ariaLabel === 'sample of “2”'")
    bodies: list[str] = []
    page.page.on(
        "request", lambda one: bodies.append(one.post_data or "") if one.method == "POST" else None
    )
    page.page.locator(".samples button").last.focus()
    page.page.keyboard.press("Enter")
    assert_that_answers_are_those_of_predict(page, learned, bodies)
    with urlopen(f"{learned.url}/samples?task=digits-2-3", timeout=60) as answer:
        last = json.load(answer)["samples"][-1]
    assert json.loads(bodies[0])["inputs"] == [last["input"]]
    assert last["class"] == "3"
    assert page.page.locator(".samples button").last.get_attribute("aria-pressed") == "true"


def test_every_control_is_reached_with_the_tab_key_and_the_first_one_skips_to_the_figures(
    page: Watched,
) -> None:
    controls = (
        "[...document.querySelectorAll('a[href], button, select, [tabindex=\"0\"]')]"
        ".filter((one) => !one.closest('[hidden]'))"
    )
    count = page.page.evaluate(f"{controls}.length")
    reached = []
    for _ in range(count + 5):
        page.page.keyboard.press("Tab")
        reached.append(page.page.evaluate(f"{controls}.indexOf(document.activeElement)"))
    assert page.page.evaluate(f"{controls}[{reached[0]}].className") == "skip"
    assert set(reached) >= set(range(count))
    page.page.locator(".skip").focus()
    page.page.keyboard.press("Enter")
    assert page.page.evaluate("document.activeElement.id") == "main"


@pytest.mark.parametrize(
    ("shape", "dtype", "brightest"),
    [([8, 8], "uint8", 255), ([1, 28, 28], "float32", 1.0), ([3, 32, 32], "uint8", 255)],
)
def test_a_drawing_becomes_an_input_of_the_models_shape_and_dtype(
    shape: list[int], dtype: str, brightest: float, page: Watched
) -> None:
    """A white square in a corner of the pad comes into the middle."""
    made = page.page.evaluate(
        """async ([input_shape, dtype]) => {
          const images = await import(new URL("images.js", document.querySelector("script").src));
          const form = images.formOf({ input_shape, dtype });
          const grey = new Uint8Array(280 * 280);
          for (let row = 10; row < 60; row += 1) grey.fill(255, 280 * row + 10, 280 * row + 60);
          return images.asInput(images.fitted(grey, 280, form), form);
        }""",
        [shape, dtype],
    )
    image = np.array(made)
    assert list(image.shape) == shape
    assert image.max() == brightest
    for plane in image.reshape(-1, *shape[-2:]):
        assert (plane == plane[::-1, ::-1]).all()
        margin = round(shape[-1] * 4 / 28) if shape[-1] >= 16 else 0
        assert (plane > 0).any(0).sum() == pytest.approx(shape[-1] - 2 * margin, abs=2)


def test_what_is_no_image_is_not_offered_to_be_drawn(page: Watched) -> None:
    forms = page.page.evaluate(
        """async () => {
          const images = await import(new URL("images.js", document.querySelector("script").src));
          return [[4], [2, 2], [5, 8, 8], [2, 3, 8, 8]].map(
            (input_shape) => images.formOf({ input_shape, dtype: "uint8" }));
        }"""
    )
    assert forms == [None] * 4


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_it_is_read_on_any_screen_in_any_light_and_by_those_who_do_not_see_it(
    size: ViewportSize, scheme: Any, chromium: Browser, learned: Live
) -> None:
    options = {"viewport": size, "color_scheme": scheme, "reduced_motion": "reduce"}
    with watched(chromium, learned.url, **options) as page:
        page.wait_until_shown()
        page.curves("shadow")
        page.wait_for("document.querySelectorAll('.samples button').length")
        page.page.locator(".samples button").first.click()
        page.wait_for("document.querySelectorAll('#heads .head').length")
        width = page.page.evaluate("document.documentElement.scrollWidth")
        assert width <= size["width"]
        paper = page.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert paper == ("rgb(13, 17, 23)" if scheme == "dark" else "rgb(245, 244, 239)")
        page.page.evaluate(AXE_SCRIPT)
        found = page.page.evaluate("axe.run().then((results) => results.violations)")
        violations = [
            (one["id"], one["impact"], [node["html"] for node in one["nodes"]][:3]) for one in found
        ]
        assert violations == []
        charts = page.page.locator(".chart").all()
        said = [chart.get_attribute("aria-label") or "" for chart in charts]
        assert len(said) == 2
        assert all("Last measured: 0-1 " in text for text in said)
        assert page.faults == []
