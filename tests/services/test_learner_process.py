"""The learner as a process: stopped, killed, refused and started again, it loses and doubles
nothing. Its weights are compared with those of the bare loop, which was never stopped."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from services.exit_codes import exit_code
from services.learner_status import read_status
from services.processes import Child
from si_stream.boundaries.options import DetectionOptions
from si_stream.brokers.embedded import EmbeddedBroker
from si_stream.brokers.interface import Envelope
from si_stream.checkpoints.store import CheckpointStore
from si_stream.errors import IdentityMismatch, NotFinite, SettingsError
from si_stream.messages.kinds import Boundary, End, Message
from si_stream.settings import Settings
from tests.services.learner_process import (
    LIMIT_SECONDS,
    LOOK_SECONDS,
    bare,
    changed,
    finished,
    kill,
    letter_ids,
    position,
    stop,
    wait_until,
)
from tests.streams import STREAM, enveloped, samples, settings

Stream = list[Message | Envelope]

# A long message takes a while, so that a signal comes in the middle of one.
BUSY: Stream = [
    samples(50, 90_000, task="a", role="holdout", bad=(3,)),
    samples(3000, task="a", bad=range(0, 3000, 7)),
    Envelope({}, b"not JSON"),
    samples(12_000, 3000, task="a", bad=range(5, 12_000, 1000)),
]
PENDING: Stream = [
    samples(5, 15_000, task="a", bad=(2,)),
    samples(20, 90_100, task="a", role="holdout", bad=(0,)),
    Envelope({}, b"nor this"),
    samples(1, 15_005, task="other"),
]
REST: Stream = [
    samples(2, 15_006, task="a", bad=(1,)),
    Boundary("1"),
    samples(20, 90_200, role="holdout"),
    samples(30, 15_008),
    End("2"),
]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    (tmp_path / "model").mkdir()
    with EmbeddedBroker(tmp_path / "model/broker.sqlite") as broker:
        broker.create_stream(STREAM)
        yield broker


@pytest.fixture
def chosen(tmp_path: Path) -> Settings:
    return settings(
        tmp_path / "model",
        learner={"shadow": "none"},
        stream={"broker": f"embedded:{tmp_path}/model/broker.sqlite"},
        holdout={"evaluation_interval_steps": 500},
    )


def send(broker: EmbeddedBroker, messages: Stream) -> None:
    broker.append(STREAM, 0, enveloped(messages))


def learned_at_once(broker: EmbeddedBroker, chosen: Settings) -> dict[str, str]:
    """What the bare loop learns of the same stream, whose faults have one dead letter each."""
    expected = bare(broker, chosen)
    letters = letter_ids(broker, STREAM)
    assert len(letters) == len(set(letters)) == int(expected["ledger/dead_letters"])
    return expected


def with_exit(chosen: Settings) -> Settings:
    return changed(chosen, "learner", exit_at_end=True)


def test_stopped_by_sigterm_wherever_it_is_and_resumed_it_learns_the_same_bits(
    broker: EmbeddedBroker, chosen: Settings, started: list[Child]
) -> None:
    send(broker, BUSY)
    for step in (100, 500):  # inside a message
        started.append(child := Child("learner", settings=chosen))
        wait_until(child, "si_stream_step", reaches=step)
        stop(child)
        status = read_status(chosen.directory)
        assert status is not None
        assert (status.status, status.metrics_address) == ("stopped", child.address)
    send(broker, PENDING)  # samples wait for the rest of their batch while it idles
    started.append(child := Child("learner", settings=chosen))
    wait_until(child, 'si_stream_rejected_total{reason="wrong_task"}', reaches=1)
    stop(child)
    assert position(chosen)[0] < (5, 0)
    send(broker, REST)
    started.append(child := Child("learner", settings=with_exit(chosen)))
    resumed = finished(child, chosen)
    assert resumed == learned_at_once(broker, chosen)


def test_killed_wherever_it_is_and_started_again_it_learns_the_same_bits(
    broker: EmbeddedBroker, chosen: Settings, started: list[Child]
) -> None:
    send(broker, [*BUSY, *PENDING, *REST])
    frequent = changed(with_exit(chosen), "checkpoints", interval_seconds=0.05)
    for step in (50, 500):
        started.append(child := Child("learner", settings=frequent))
        wait_until(child, "si_stream_step", reaches=step)
        kill(child)
    started.append(child := Child("learner", settings=frequent))
    resumed = finished(child, chosen)
    assert resumed == learned_at_once(broker, chosen)


def test_its_directory_may_be_away_while_it_learns_and_all_is_saved_once_it_is_back(
    tmp_path: Path, started: list[Child]
) -> None:
    directory, log = tmp_path / "model", tmp_path / "broker.sqlite"
    often = {"interval_seconds": 0.05}
    chosen = with_exit(
        settings(
            directory, stream={"broker": f"embedded:{log}"}, checkpoints=often, snapshots=often
        )
    )
    with EmbeddedBroker(log) as broker:
        broker.create_stream(STREAM)
        send(broker, [samples(80, task="a")])
        started.append(child := Child("learner", settings=chosen))
        wait_for_samples(80, child, chosen)
        directory.rename(tmp_path / "away")
        send(broker, [samples(80, 80, task="a")])
        for what in ("checkpoint", "snapshot"):
            wait_until(child, f'si_stream_writing_failures_total{{what="{what}"}}', reaches=2)
        wait_until(child, "si_stream_step", reaches=20)
        assert not directory.exists()
        (tmp_path / "away").rename(directory)
        wait_for_samples(160, child, chosen)
        send(broker, [End("end")])
        assert finished(child, chosen) == bare(broker, chosen)


def wait_for_samples(count: int, child: Child, chosen: Settings) -> None:
    """Until the newest checkpoint has so many."""
    store = CheckpointStore(chosen.directory)
    while (newest := store.newest()) is None or newest.manifest.ledger.samples < count:
        assert child.code is None, list(child.last_lines)
        time.sleep(LOOK_SECONDS)


def test_stopped_while_it_detects_boundaries_it_says_how_far_it_is_saved(
    broker: EmbeddedBroker, chosen: Settings, started: list[Child]
) -> None:
    send(broker, [samples(20, task="a")])
    detecting = chosen.model_copy(update={"detection": DetectionOptions(kind="adwin")})
    started.append(child := Child("learner", settings=detecting))
    wait_until(child, "si_stream_step", reaches=2)
    stop(child)
    [line] = [line for line in child.last_lines if "stopped at" in line]
    assert line.endswith(
        "stopped at step 2, 16 samples; saved up to step 0, 0 samples: the last 16 are read again "
        "at the next start"
    )
    assert position(chosen).get(0, (0, 0)) == (0, 0)
    send(broker, REST)
    started.append(child := Child("learner", settings=with_exit(detecting)))
    assert child.wait() == 0
    assert "stopped at step 7, 51 samples; all of it is saved" in "\n".join(child.last_lines)


def refusal(chosen: Settings) -> tuple[int, str]:
    """How a learner that cannot start ends, and its only line but for those of its log."""
    child = Child("learner", settings=chosen)
    code = child.wait()
    lines = [line for line in child.last_lines if not re.match(r"\d{4}-\d\d-\d\d ", line)]
    assert len(lines) == 1, lines
    return code, lines[0]


@pytest.mark.usefixtures("broker")
def test_a_port_in_use_is_one_clear_line(chosen: Settings) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, line = refusal(changed(chosen, "learner", metrics_port=port))
    assert code == exit_code(SettingsError())
    assert line.startswith(f"si-stream: port {port} of 127.0.0.1 is in use; ")
    assert "--set learner.metrics_port" in line
    assert not (chosen.directory / "epochs").exists()


def test_another_network_than_the_checkpoints_is_one_clear_line(
    broker: EmbeddedBroker, chosen: Settings
) -> None:
    send(broker, REST)
    assert Child("learner", settings=with_exit(chosen)).wait() == 0
    code, line = refusal(changed(chosen, "model", outputs=4))
    assert code == exit_code(IdentityMismatch())
    assert "is of another model (model.outputs: 4, not 3); start with its settings" in line


def test_three_batches_in_a_row_that_are_not_finite_end_it_and_enter_no_checkpoint(
    broker: EmbeddedBroker, chosen: Settings, started: list[Child]
) -> None:
    """At the next start too, until somebody does something about it."""
    whole = samples(4000, task="a")
    inputs = whole.inputs.astype(np.float32)
    inputs[2000:2024] = 3e38  # three batches, and no other
    send(broker, [replace(whole, inputs=inputs), End("end")])
    floats = changed(with_exit(chosen), "model", dtype="float32")
    frequent = changed(floats, "checkpoints", interval_seconds=0.02)
    for _ in range(2):
        started.append(child := Child("learner", settings=frequent))
        assert child.wait() == exit_code(NotFinite())
        assert "3 batches in a row was not a finite number, up to" in child.last_lines[-1]
        checkpoint = CheckpointStore(chosen.directory).newest()
        assert checkpoint is not None
        assert checkpoint.manifest.ledger.steps <= 250
        for tensor in checkpoint.tensors.values():
            assert tensor.isfinite().all()


LOADED = """
import json, sys
from services.command import main
code = main(sys.argv[1:])
heavy = ("torchvision", "torch._inductor", "torch._dynamo", "triton", "sklearn", "matplotlib")
print(json.dumps([code, [name for name in heavy if name in sys.modules]]))
"""


def test_a_learner_loads_neither_torchvision_nor_a_compiler(
    broker: EmbeddedBroker, chosen: Settings
) -> None:
    send(broker, REST)
    arguments = ["learner", "--exit-at-end", "--directory", str(chosen.directory)]
    for setting in ("model.input_shape=4", "model.outputs=3", "compute.device=cpu"):
        arguments += ["--set", setting]
    arguments += ["--set", "learner.metrics_port=0"]
    output = subprocess.run(
        [sys.executable, "-W", "error", "-c", LOADED, *arguments],
        check=True,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
    ).stdout
    assert json.loads(output) == [0, []]
