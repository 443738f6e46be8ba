"""A live page, watched in a real browser: what it shows, and whatever goes wrong in it."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from services.command import main
from services.processes import Child
from si_stream.settings import Settings, load_settings

LIMIT_SECONDS = 120.0
LOOK_MILLISECONDS = 50


@dataclass
class Live:
    """A learner with a shadow and a predictor, as processes that a test may end and start."""

    settings: Settings
    children: dict[str, Child] = field(default_factory=dict)

    @property
    def directory(self) -> Path:
        return self.settings.directory

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.settings.predictor.port}"

    def start(self, name: str) -> None:
        self.children[name] = Child(name, settings=self.settings)

    def begin(self) -> None:
        """Both, and digits to learn; once it returns the page can be opened."""
        self.start("learner")
        self.start("predictor")
        self.replay(epochs=1)
        while self.children["predictor"].address is None:
            time.sleep(LOOK_MILLISECONDS / 1000)

    def stop(self, name: str) -> int:
        self.children[name].ask_to_stop()
        return self.children[name].wait()

    def kill(self, name: str) -> None:
        self.children[name].kill()
        self.children[name].wait()

    def replay(self, epochs: int) -> None:
        """Sends the bundled digits, two of them at a time."""
        broker = f"embedded:{self.directory}/broker.sqlite"
        options = ["--broker", broker, "--epochs", str(epochs)]
        assert main(["simulate", "split-digits", *options]) == 0

    def journal(self, event: str) -> list[dict[str, Any]]:
        path = self.directory / "events.jsonl"
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        told = [json.loads(line) for line in lines if line.endswith("\n")]
        return [one for one in told if one["event"] == event]

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = json.loads((self.directory / "status.json").read_text())
        return status


@contextmanager
def live(directory: Path) -> Iterator[Live]:
    """Nothing runs yet."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.MonkeyPatch.context() as patch:
        for name in ("SI_STREAM_REQUIRE_REAL", "SI_STREAM_DATA"):
            patch.delenv(name, raising=False)
        overrides = {
            "preset": "split-digits",
            "directory": directory,
            "learner.shadow": "none",
            "learner.metrics_port": 0,
            "predictor.port": port,
            "holdout.evaluation_interval_steps": 20,
            "snapshots.interval_seconds": 0.2,
            "checkpoints.interval_seconds": 1.0,
        }
        running = Live(load_settings(overrides=overrides))
        try:
            yield running
        finally:
            for child in running.children.values():
                child.kill()
                child.wait()


@dataclass
class Watched:
    page: Page
    faults: list[str] = field(default_factory=list)
    """Errors and warnings of the console, and requests that failed or were refused."""

    def wait_for(self, condition: str, seconds: float = LIMIT_SECONDS) -> None:
        """Until an expression is true in it; asked from here, for the page allows no eval."""
        deadline = time.monotonic() + seconds
        while not self.page.evaluate(f"Boolean({condition})"):
            assert time.monotonic() < deadline, f"{condition}:\n{self.text('body')}"
            self.page.wait_for_timeout(LOOK_MILLISECONDS)

    def wait_until_shown(self) -> None:
        self.wait_for("document.body.dataset.shown")

    def wait_for_text(self, selector: str, text: str, seconds: float = LIMIT_SECONDS) -> None:
        place = f"document.querySelector({json.dumps(selector)})"
        expression = f"{place}.textContent.includes({json.dumps(text)})"
        self.wait_for(expression, seconds)

    def text(self, selector: str) -> str:
        return self.page.locator(selector).inner_text()

    def figures(self) -> dict[str, float]:
        """Every number that the tables show, as it was before it was rounded."""
        found: list[tuple[str, str]] = self.page.evaluate(
            "[...document.querySelectorAll('[data-figure][data-value]')]"
            ".map((cell) => [cell.dataset.figure, cell.dataset.value])"
        )
        return {name: float(value) for name, value in found}

    def curves(self, track: str) -> dict[str, list[list[float]]]:
        """What a track's chart draws, by the task's short name: samples and percents."""
        self.wait_for(f"document.querySelector('#panel-{track} .chart')?.data?.length")
        drawn: list[tuple[str, list[float], list[float]]] = self.page.evaluate(
            f"document.querySelector('#panel-{track} .chart').data"
            ".map((trace) => [trace.name, trace.x, trace.y])"
        )
        return {name: [samples, percents] for name, samples, percents in drawn}


@contextmanager
def watched(browser: Browser, url: str, **options: Any) -> Iterator[Watched]:
    """The page, opened."""
    context = browser.new_context(**options)
    page = context.new_page()
    one = Watched(page)
    faults = one.faults
    page.on("console", lambda said: faults.append(said.text) if said.type != "log" else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("requestfailed", lambda request: faults.append(f"{request.url} {request.failure}"))
    page.on(
        "response", lambda got: faults.append(f"{got.url} {got.status}") if not got.ok else None
    )
    try:
        page.goto(url)
        yield one
    finally:
        context.close()
