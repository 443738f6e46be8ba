"""Back up and restore, by the commands of docs/operations.md."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from pathlib import Path

from services.command import main
from services.processes import Child
from si_stream.brokers.embedded import EmbeddedBroker
from si_stream.messages.kinds import Boundary, End, Message
from tests.services.learner_process import bare, changed, finished, position, stop, wait_until
from tests.streams import STREAM, enveloped, memory_broker, samples, settings

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
MESSAGES: list[Message] = [
    *(samples(10, 60_000 + 10 * n, task="a", role="holdout") for n in range(40)),
    *(samples(100, 100 * n, task="a") for n in range(300)),
    Boundary("1"),
    *(samples(100, 100 * n, task="b") for n in range(300, 500)),
]


def documented(name: str) -> str:
    """The command of the page that begins so."""
    [line] = [line for line in PAGE.read_text().splitlines() if line.startswith(f"{name} ")]
    return line


def test_a_copy_that_was_made_while_it_learned_is_gone_on_from(
    tmp_path: Path, started: list[Child]
) -> None:
    directory, backup = tmp_path / "si-stream-data", tmp_path / "backup"
    directory.mkdir()
    backup.mkdir()
    chosen = settings(
        directory,
        stream={"broker": f"embedded:{directory}/broker.sqlite"},
        checkpoints={"interval_seconds": 0.3},
    )
    with EmbeddedBroker(directory / "broker.sqlite") as broker:
        broker.create_stream(STREAM)
        broker.append(STREAM, 0, enveloped(MESSAGES))
    started.append(child := Child("learner", settings=chosen))
    wait_until(child, "si_stream_step", reaches=500)
    copying = documented("cp").replace("/path/to/backup", str(backup))
    subprocess.run(copying.split(), cwd=tmp_path, check=False, capture_output=True)
    with (
        sqlite3.connect(directory / "broker.sqlite") as log,
        sqlite3.connect(backup / "broker.sqlite") as copy,
    ):
        log.backup(copy)  # as the .backup of sqlite3, which need not be installed
    log.close()
    copy.close()
    assert main(["checkpoints", "--directory", str(backup)]) == 0
    then = position(chosen.model_copy(update={"directory": backup}))
    wait_until(child, "si_stream_consolidations_total", reaches=1)
    stop(child)
    assert position(chosen)[0] > then[0]

    shutil.rmtree(directory)
    shutil.copytree(backup, directory)
    assert position(chosen) == then
    with EmbeddedBroker(directory / "broker.sqlite") as broker:
        broker.append(STREAM, 0, enveloped([End("end")]))
    exits = changed(chosen, "learner", exit_at_end=True)
    started.append(child := Child("learner", settings=exits))
    assert finished(child, chosen) == bare(memory_broker([*MESSAGES, End("end")]), chosen)
