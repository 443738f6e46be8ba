"""What the tests of the learner process share: to watch it from outside, to stop it, and to compare
what it has saved with what the bare loop learns, which was never stopped."""

from __future__ import annotations

import json
import signal
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from services.processes import Child
from si_stream.brokers.interface import Broker
from si_stream.checkpoints.store import CheckpointStore
from si_stream.dead_letters import read_letters
from si_stream.settings import Settings
from tests.streams import contents, learn, loaded, settings

LIMIT_SECONDS = 120
LOOK_SECONDS = 0.02


def metrics(child: Child) -> dict[str, float]:
    assert child.address is not None
    with urllib.request.urlopen(child.address, timeout=LIMIT_SECONDS) as answer:
        lines = answer.read().decode().splitlines()
    return {name: float(n) for name, n in (li.rsplit(" ", 1) for li in lines if li[0] != "#")}


def wait_for_metrics(child: Child) -> None:
    while child.address is None:
        assert child.code is None, list(child.last_lines)
        time.sleep(LOOK_SECONDS)


def wait_until(child: Child, metric: str, reaches: float) -> None:
    wait_for_metrics(child)
    value = 0.0
    while value < reaches:
        assert child.code is None, list(child.last_lines)
        time.sleep(LOOK_SECONDS)
        with suppress(OSError):  # it has just ended
            value = metrics(child).get(metric, 0.0)


def stop(child: Child) -> None:
    child.ask_to_stop()
    assert child.wait() == 0, list(child.last_lines)


def kill(child: Child) -> None:
    child.kill()
    assert child.wait() == -signal.SIGKILL


@contextmanager
def paused(child: Child) -> Iterator[None]:
    child._process.send_signal(signal.SIGSTOP)
    yield
    child._process.send_signal(signal.SIGCONT)


def finished(child: Child, chosen: Settings) -> dict[str, str]:
    assert child.wait() == 0, list(child.last_lines)
    return saved(chosen)


def saved(chosen: Settings) -> dict[str, str]:
    store = CheckpointStore(chosen.directory)
    path = next(store.newest_first())
    return contents(loaded(store, path, chosen))


def position(chosen: Settings) -> dict[int, tuple[int, int]]:
    """Of each partition, the next sample not yet trained on, as the newest checkpoint has it."""
    checkpoint = CheckpointStore(chosen.directory).newest()
    assert checkpoint is not None
    return {
        number: (place.offset, place.row)
        for number, place in checkpoint.manifest.ledger.position.items()
    }


def journal(chosen: Settings, event: str) -> list[dict[str, Any]]:
    """What the learner has written down of one kind of event."""
    path = chosen.directory / "events.jsonl"
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    told = [json.loads(line) for line in lines if line.endswith("\n")]
    return [one for one in told if one["event"] == event]


def bare(broker: Broker, chosen: Settings) -> dict[str, str]:
    """What the bare loop learns without a stop; of each of its faults there is one dead letter."""
    whole, host = learn(broker, chosen)
    whole.ledger.dead_letters = len(host.faults)
    return contents(whole)


def without_places(held: dict[str, str]) -> dict[str, str]:
    """For a stream whose records lie at other offsets than the bare loop's."""
    return {k: v for k, v in held.items() if k not in ("ledger/position", "ledger/counted")}


def letter_ids(broker: Broker, stream: str) -> list[str]:
    return [letter.letter_id for _, letter in read_letters(broker, stream)]


def on_kafka(
    directory: Path, topic: str, url: str, *, exit_at_end: bool = True, **groups: Any
) -> Settings:
    """Of a small model that learns a topic, without a shadow."""
    learner = {"shadow": "off", "exit_at_end": exit_at_end}
    stream = {"broker": url, "name": topic}
    return settings(directory, stream=stream, learner=learner, **groups)


def changed(chosen: Settings, group: str, **values: Any) -> Settings:
    """The settings with others in one group."""
    return chosen.model_copy(update={group: getattr(chosen, group).model_copy(update=values)})
