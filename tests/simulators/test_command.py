from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner, Result

import simulators
from si_stream.brokers import open_broker
from si_stream.brokers.interface import Broker, Envelope, Record
from si_stream.errors import BrokerError, DataError, SettingsError
from si_stream.messages.kinds import Samples
from simulators.command import simulate
from simulators.labels import globally_labelled
from simulators.options import ReplayOptions
from simulators.replay import envelopes, messages, sample_count
from simulators.scenarios import load_own_scenario, load_scenario
from simulators.sequences import sequenced
from simulators.stretches import true_boundaries

PROGRAM = "import typer; from simulators.command import simulate; typer.run(simulate)"
ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(simulators.__file__).parents[1])}


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"embedded:{tmp_path / 'broker.sqlite'}"


def simulated(*arguments: str) -> Result:
    """The command, run within this process."""
    app = typer.Typer()
    app.command()(simulate)
    return CliRunner().invoke(app, list(arguments))


@contextmanager
def simulating(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The command, run as a process of its own."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments],
        env=ENVIRONMENT,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def read(broker: Broker, stream: str, count: int, seconds: float = 60) -> list[Record]:
    """The first ``count`` records, waiting for a writer if need be."""
    records: list[Record] = []
    give_up = time.monotonic() + seconds
    with broker.reader(stream, {}) as reader:
        while len(records) < count and time.monotonic() < give_up:
            records += reader.poll(timeout_seconds=0.2)
    return records


def sent(records: list[Record]) -> list[Envelope]:
    return [Envelope(dict(record.headers), bytes(record.value)) for record in records]


def test_a_reader_gets_the_stream_of_a_simulator_in_another_process(url: str) -> None:
    options = ReplayOptions(seed=5, epochs_per_task=2)
    expected = list(envelopes(load_scenario("split-digits"), options))
    with open_broker(url) as broker:
        broker.create_stream("digits")
        arguments = ("split-digits", "--broker", url, "--stream", "digits", "--seed", "5")
        with simulating(*arguments, "--epochs", "2") as process:
            records = read(broker, "digits", len(expected))
            _, told = process.communicate(timeout=60)
        assert process.returncode == 0, told
        assert sent(records) == expected
    total = sample_count(load_scenario("split-digits"), options)
    assert f"sent {total:,} of {total:,} samples in {len(expected)} messages" in told


def test_a_stream_that_does_not_exist_is_made(url: str) -> None:
    result = simulated("split-digits", "--broker", url, "--stream", "new", "--no-holdout")
    assert result.exit_code == 0
    with open_broker(url) as broker:
        assert broker.partitions("new") == 1
        assert broker.watermarks("new", 0).high > 0


def test_each_option_reaches_the_replay(url: str) -> None:
    result = simulated(
        *("split-digits", "--broker", url, "--stream", "digits", "--epochs", "2"),
        *("--samples-per-message", "50", "--rate", "1e6", "--seed", "9", "--task-count", "2"),
        *("--boundaries", "silent", "--holdout-samples-per-task", "10", "--codec", "json"),
        *("--boundary-jitter-samples", "9", "--drift-samples", "30", "--label-noise", "0.1"),
        *("--order", "ABA", "--again", "other", "--samples-per-task", "90", "--labels", "global"),
        "--no-end",
    )
    assert result.exit_code == 0
    options = ReplayOptions(
        epochs_per_task=2,
        samples_per_message=50,
        seed=9,
        boundaries="silent",
        boundary_jitter_samples=9,
        drift_samples=30,
        label_noise=0.1,
        holdout_samples_per_task=10,
        codec="json",
        end=False,
    )
    chosen = globally_labelled(load_scenario("split-digits", task_count=2))
    chosen = sequenced(chosen, "ABA", again="other", samples_per_task=90, seed=9)
    expected = list(envelopes(chosen, options))
    first, second = true_boundaries(chosen, options)
    assert "split-digits: 2 tasks, " in result.stderr
    assert f"another task begins at training sample {first:,}, {second:,}, " in result.stderr
    with open_broker(url) as broker:
        assert sent(read(broker, "digits", len(expected))) == expected


def test_a_replay_over_three_partitions_makes_them_and_warns_of_what_any_of_them_holds(
    url: str,
) -> None:
    arguments = ("split-digits", "--broker", url, "--task-count", "2", "--partitions", "3")
    result = simulated(*arguments)
    assert result.exit_code == 0, result.output
    assert "is not empty" not in result.output
    with open_broker(url) as broker:
        assert broker.partitions("samples") == 3
        records = [record for n in range(3) for record in all_of(broker, n)]
        ends = [r.partition for r in records if r.headers["ce_type"] == "si-stream.end"]
        assert ends == [0, 1, 2]
        broker.prune("samples", 0, 10**6)
    again = simulated(*arguments)
    assert again.exit_code == 0
    assert "stream 'samples' is not empty" in again.output


def all_of(broker: Broker, partition: int) -> list[Record]:
    with broker.reader("samples", {}) as reader:
        return reader.poll(1, [partition])


def test_a_stream_with_another_number_of_partitions_is_left_alone(url: str) -> None:
    with open_broker(url) as broker:
        broker.create_stream("samples", 2)
    result = simulated("split-digits", "--broker", url)
    assert isinstance(result.exception, BrokerError)
    assert "exists with 2 partitions, not 1" in str(result.exception)


def test_ones_own_data_are_sent_by_groups_of_labels(url: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    np.savez(path, images=np.zeros((40, 3), np.float32), labels=np.arange(40) % 4)
    result = simulated("--data", str(path), "--tasks", "0,1/2,3", "--broker", url)
    assert result.exit_code == 0
    expected = list(envelopes(load_own_scenario(path, "0,1/2,3"), ReplayOptions()))
    with open_broker(url) as broker:
        assert sent(read(broker, "samples", len(expected))) == expected


def test_the_same_replay_again_is_warned_of(url: str) -> None:
    first, second = (simulated("split-digits", "--broker", url) for _ in range(2))
    assert "is not empty" not in first.stderr
    assert "stream 'samples' is not empty" in second.stderr


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"]
)
def test_a_signal_stops_a_replay_cleanly(url: str, number: signal.Signals, code: int) -> None:
    with open_broker(url) as broker:
        broker.create_stream("samples")
        arguments = ("split-digits", "--broker", url, "--rate", "200")
        with simulating(*arguments, "--samples-per-message", "10") as process:
            read(broker, "samples", 3)
            process.send_signal(number)
            _, told = process.communicate(timeout=60)
        count = broker.watermarks("samples", 0).high
        records = sent(read(broker, "samples", count))
    assert process.returncode == code, told
    started, *_, stopped = told.splitlines()
    assert started.startswith("split-digits: 5 tasks, 1,797 samples")
    scenario, options = load_scenario("split-digits"), ReplayOptions(samples_per_message=10)
    assert records == list(islice(envelopes(scenario, options), count))
    whole = islice(messages(scenario, options), count)
    samples = sum(len(message) for message in whole if isinstance(message, Samples))
    assert stopped.startswith(f"stopped after {samples:,} of 1,797 samples in {count} messages")


@pytest.mark.parametrize(
    ("arguments", "error", "complaint"),
    [
        ((), SettingsError, "name a scenario or your own --data"),
        (("split-digits", "--data", "x.npz", "--tasks", "0"), SettingsError, "one of the two"),
        (("split-digits", "--tasks", "0,1"), SettingsError, "--data and --tasks go together"),
        (("--data", "x.npz"), SettingsError, "--data and --tasks go together"),
        (("--data", "x.npz", "--tasks", "0,1"), DataError, "does not exist"),
        (("split-digits", "--task-count", "6"), SettingsError, "has 5 tasks, not 6"),
        (("split-digits", "--rate", "0"), SettingsError, "--rate 0 is no pace"),
        (("split-digits", "--rate", "nan"), SettingsError, "--rate nan is no pace"),
        (("split-digits", "--label-noise", "1.5"), SettingsError, "--label-noise 1.5 is no share"),
        (("split-digits", "--label-noise", "nan"), SettingsError, "--label-noise nan is no share"),
        (("split-digits", "--order", "ABX"), SettingsError, "letters from A to E"),
        (("split-digits", "--drift-samples", "900"), SettingsError, "ask for less of either"),
        (("split-digits", "--broker", "carrier-pigeon:"), BrokerError, "carrier-pigeon"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    arguments: tuple[str, ...], error: type[Exception], complaint: str
) -> None:
    result = simulated(*arguments)
    assert isinstance(result.exception, error)
    assert re.search(complaint, str(result.exception))
    assert "\n" not in str(result.exception)


@pytest.mark.parametrize(
    "arguments",
    [
        ("split-imagenet",),
        ("split-digits", "--epochs", "0"),
        ("split-digits", "--samples-per-message", "0"),
        ("split-digits", "--boundaries", "loud"),
        ("split-digits", "--boundary-jitter-samples", "-1"),
        ("split-digits", "--drift-samples", "-1"),
        ("split-digits", "--samples-per-task", "0"),
        ("split-digits", "--again", "never"),
        ("split-digits", "--labels", "none"),
        ("split-digits", "--seed", "-1"),
    ],
)
def test_values_out_of_range_are_refused_with_the_usage(arguments: tuple[str, ...]) -> None:
    assert simulated(*arguments).exit_code == 2


def test_help_tells_of_every_scenario_and_loads_nothing_heavy() -> None:
    program = (
        "import atexit, sys; heavy = {'torch', 'torchvision', 'sklearn'}; "
        "atexit.register(lambda: print('heavy:', sorted(heavy & set(sys.modules)))); "
    )
    done = subprocess.run(
        [sys.executable, "-c", program + PROGRAM, "--help"],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "heavy: []" in done.stdout
    for scenario in ("split-mnist", "permuted-mnist", "split-cifar", "split-digits"):
        assert scenario in done.stdout
    for kind in ("rotated", "inverted", "contrast", "stationary"):
        assert f"{kind}-…" in done.stdout


def test_a_terminal_sees_a_progress_bar(url: str) -> None:
    master, slave = pty.openpty()
    try:
        with subprocess.Popen(
            [sys.executable, "-c", PROGRAM, "split-digits", "--broker", url],
            env=ENVIRONMENT | {"TERM": "xterm", "COLUMNS": "120"},
            stderr=slave,
        ) as process:
            os.close(slave)
            seen = b""
            while chunk := _read_terminal(master):
                seen += chunk
        assert process.returncode == 0
    finally:
        os.close(master)
    text = seen.decode()
    assert "1,797/1,797 samples" in text
    assert "━" in text
    assert "sent 1,797 of 1,797 samples" in text


def _read_terminal(master: int) -> bytes:
    try:
        return os.read(master, 65_536)
    except OSError:  # Linux says so when the last writer has gone
        return b""
