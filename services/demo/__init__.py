"""`si-stream demo`: one command shows all of it, with real processes on an embedded broker.

Invariant: what is shown was told by the learner's journal or answered over HTTP; this process
learns nothing itself and does not import torch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from services.asking import key_of
from services.demo.figure import draw
from services.demo.place import Place, demo_directory, on_free_ports
from services.demo.question import Question, wait_until_served
from services.demo.screen import Screen
from services.demo.story import DemoStory, follow
from services.logs.relay import tell
from services.processes import Child, caught_signals, children
from services.story import MAIN, SHADOW
from si_stream.errors import DataError, ProcessEnded, SettingsError
from si_stream.settings import PredictorOptions, Settings
from simulators.datasets import data_directory
from simulators.scenarios import Scenario, load_scenario

DemoScenario = Literal["split-mnist", "split-digits"]

# Enough to learn each task well, and to forget it well without Synaptic Intelligence.
EPOCHS = {"split-mnist": 2, "split-digits": 20}
EVALUATION_STEPS = 20  # about as many points on a task's curve


def run(
    settings_with: Callable[[Mapping[str, Any]], Settings],
    *,
    scenario: DemoScenario | None = None,
    epochs: int | None = None,
    seed: int = 0,
    directory: Path | None = None,
    keep_running: bool = False,
) -> None:
    """Learn a scenario with and without Synaptic Intelligence, tell of it, ask for a prediction.

    Args:
        settings_with: the settings, given some by dotted key; what a person asks for goes before.
        scenario: split MNIST where it can be had, else the bundled digits.
        epochs: a task's.
        directory: to leave everything in; by default a temporary one, of which the picture stays.
        keep_running: go on serving until Ctrl-C.

    Raises:
        ProcessEnded: one of the processes failed; its last lines have been shown.
        SIStreamError: the settings, the data or the directory do not allow it.
    """
    screen = Screen()
    data = settings_with({}).data or data_directory()
    chosen = choose(scenario, data, screen)
    epochs = epochs or EPOCHS[chosen.name]
    with demo_directory(directory) as place, caught_signals() as caught:
        settings = on_free_ports(settings_with(own_settings(chosen, seed, place)))
        tracks = (MAIN,) if settings.learner.shadow == "off" else (MAIN, SHADOW)
        samples_of = {task.name: epochs * len(task.train) for task in chosen.tasks}
        story = DemoStory(chosen.name, samples_of, tracks)
        screen.opening(story, epochs, place)

        with children() as running:
            replay = ["--epochs", str(epochs), "--seed", str(seed)]
            running.append(simulator := Child("simulate", chosen.name, *replay, settings=settings))
            running.append(learner := Child("learner", settings=settings))
            running.append(predictor := Child("predictor", settings=settings))

            def check() -> None:
                if caught:
                    raise KeyboardInterrupt
                screen.page(predictor.address)
                for child in running:
                    if child.code or (child.code == 0 and child is not simulator):
                        raise failure(child, "in the middle of the demo")

            learn(story, settings.directory, screen, learner, check)
            screen.closing(story)
            question = Question.about(chosen.tasks[0], place.path)
            ask(story, question, screen, predictor, settings.predictor, check)
            screen.metrics(
                {
                    learner: key_of("learner", settings.learner, own=True),
                    predictor: key_of("predictor", settings.predictor, own=True),
                }
            )
            draw(story, place.picture)
            screen.farewell(place, predictor.address if keep_running else None)
            if keep_running:
                wait_for_interruption(check)
        for child in running:
            if child.wait():
                raise failure(child, "out of order when it was asked to stop")


def own_settings(scenario: Scenario, seed: int, place: Place) -> dict[str, Any]:
    """What makes a demo of any settings, by dotted key."""
    return {
        "preset": scenario.name,
        "directory": place.model,
        "stream.broker": f"embedded:{place.model}/broker.sqlite",
        "stream.name": "samples",
        "model.seed": seed,
        "holdout.source": "messages",
        "holdout.evaluation_interval_steps": EVALUATION_STEPS,
        "boundaries.mode": "announced",
        "learner.shadow": "none",
        "learner.exit_at_end": False,  # it is asked for its metrics afterwards
    }


def learn(
    story: DemoStory, model: Path, screen: Screen, learner: Child, check: Callable[[], None]
) -> None:
    """Follow the learner to the stream's end.

    Raises:
        SettingsError: it has not learned every task.
    """
    with screen.progress(story) as show:
        for event in follow(model, check):
            story.hear(event)
            show(event)
    if story.boundaries < len(story.samples_of) or not story.curves:
        tell_last_lines(learner)
        raise SettingsError(
            f"{story.boundaries} of {len(story.samples_of)} tasks were learned and "
            f"{len(story.curves)} measured; the learner's lines above say what it rejected"
        )


def ask(
    story: DemoStory,
    question: Question,
    screen: Screen,
    predictor: Child,
    options: PredictorOptions,
    check: Callable[[], None],
) -> None:
    """Ask the live predictor, once it has what the learner knows."""
    key = key_of("predictor", options, own=True)
    address = wait_until_served(predictor, story.version, key, check)
    screen.exchange(question, question.curl(address, options), question.ask(address, key))


def choose(wanted: DemoScenario | None, data: Path, screen: Screen) -> Scenario:
    """The scenario that is wanted; without a wish, the best that can be had here."""
    try:
        return load_scenario(wanted or "split-mnist", directory=data)
    except DataError as error:
        if wanted is not None:
            raise
        screen.second_choice(error)
        return load_scenario("split-digits")


def failure(child: Child, when: str) -> ProcessEnded:
    ended = child.failure(when)
    tell_last_lines(child)
    return ended


def tell_last_lines(child: Child) -> None:
    for line in child.last_lines:
        tell(child.name, line)


def wait_for_interruption(check: Callable[[], None]) -> None:
    try:
        while True:
            check()
            time.sleep(0.2)
    except KeyboardInterrupt:
        return
