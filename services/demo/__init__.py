"""`si-stream demo`: one command shows all of it, with real processes on an embedded broker.

Invariant: what is shown was told by the learner's journal or answered over HTTP; this process
learns nothing itself and does not import torch.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from services.demo import words
from services.demo.figure import draw
from services.demo.place import demo_directory, on_free_ports
from services.demo.question import Question
from services.demo.screen import Screen
from services.demo.story import Story, follow
from services.processes import Child, children
from si_stream.errors import DataError
from si_stream.settings import Settings
from simulators.datasets import data_directory
from simulators.scenarios import Scenario, load_scenario

DemoScenario = Literal["split-mnist", "split-digits"]

# Enough to learn each task well, and to forget it well without Synaptic Intelligence.
EPOCHS = {"split-mnist": 2, "split-digits": 20}
# Some twenty points on each curve of a task.
EVALUATION_STEPS = {"split-mnist": 20, "split-digits": 20}


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
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)  # ends like Ctrl-C: children are stopped
    screen = Screen()
    chosen = choose(scenario, settings_with({}).data or data_directory(), screen)
    epochs = epochs or EPOCHS[chosen.name]
    with demo_directory(directory) as place, children() as running:
        settings = on_free_ports(
            settings_with(
                {
                    "preset": chosen.name,
                    "directory": place.model,
                    "stream.broker": f"embedded:{place.model}/broker.sqlite",
                    "stream.name": "samples",
                    "model.seed": seed,
                    "holdout.source": "messages",
                    "holdout.evaluation_interval_steps": EVALUATION_STEPS[chosen.name],
                    "boundaries.mode": "announced",
                    "learner.shadow": "none",
                    "learner.exit_at_end": False,
                }
            )
        )
        story = Story(chosen, epochs, has_shadow=settings.learner.shadow != "off")
        screen.say(words.opening(story, settings))

        replay = [chosen.name, "--epochs", str(epochs), "--seed", str(seed)]
        simulator = Child("simulate", *replay, settings=settings)
        learner = Child("learner", settings=settings)
        predictor = Child("predictor", settings=settings)
        running += [simulator, learner, predictor]

        def check() -> None:
            for child in running:
                if child.code is not None and not (child is simulator and child.code == 0):
                    screen.say_last_lines(child)
                    raise child.failure("in the middle of the demo")

        with screen.progress(story) as show:
            for event in follow(settings.directory, check):
                story.hear(event)
                show(event)

        screen.say(words.closing(story))
        question = Question.about(chosen.tasks[0], place.path)
        answer = question.ask(predictor, story.version, check)
        screen.show(question, answer)
        screen.show_metrics(learner, predictor)
        draw(story, place.picture)
        screen.say(words.farewell(place, keep_running, predictor.address))
        if keep_running:
            serve_until_interrupted(check)


def choose(wanted: DemoScenario | None, data: Path, screen: Screen) -> Scenario:
    """The scenario that is wanted; without a wish, the best that can be had here."""
    if wanted is not None:
        return load_scenario(wanted, directory=data)
    try:
        return load_scenario("split-mnist", directory=data)
    except DataError as error:
        screen.say(words.second_choice(error))
        return load_scenario("split-digits")


def serve_until_interrupted(check: Callable[[], None]) -> None:
    try:
        while True:
            check()
            time.sleep(0.2)
    except KeyboardInterrupt:
        return
