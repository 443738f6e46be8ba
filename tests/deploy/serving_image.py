"""The image's own command, served with its variables in a locked container, and watched by its own
health check."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from urllib.request import urlopen

from deploy.local_process import free_ports
from tests.deploy.container import USER, locked, run
from tests.deploy.dockerfile import Instruction, Stage, stages

ROOT = Path(__file__).parents[2]
DEPENDENCIES, PACKAGE, IMAGE = stages((ROOT / "Dockerfile").read_text())
SEND = """\
import os, numpy as np
from si_stream.brokers.embedded import EmbeddedBroker
from si_stream.messages.codecs import encode
from si_stream.messages.kinds import Samples
batch = Samples(np.zeros((64, 8, 8), np.uint8), np.zeros(64, np.int64), task="zeros")
with EmbeddedBroker(os.environ["SI_STREAM_DIRECTORY"] + "/broker.sqlite") as broker:
    broker.create_stream("samples")
    broker.append("samples", 0, [encode(batch, source="/tests", event_id="1")])
"""


def only(stage: Stage, word: str) -> str:
    [text] = stage.texts(word)
    return text


def health_check() -> list[str]:
    return Instruction("CMD", only(IMAGE, "HEALTHCHECK").partition(" CMD ")[2]).words()


def serve_locked(root: Path, data: Path, variables: Mapping[str, str]) -> None:
    """Learn a batch and answer; stop, and end with 0.

    Args:
        root: an empty directory.
        data: of the model.
        variables: the image's, with the paths of this machine.
    """
    os.chown(data, int(USER), int(USER))
    learner, predictor = free_ports(2)
    environment = {
        **variables,
        "SI_STREAM_PRESET": "split-digits",
        "SI_STREAM_COMPUTE__DEVICE": "cpu",
        "SI_STREAM_SNAPSHOTS__INTERVAL_SECONDS": "0.2",
        # This machine's address and ports, in place of a container's own.
        "SI_STREAM_LEARNER__METRICS_HOST": "127.0.0.1",
        "SI_STREAM_PREDICTOR__HOST": "127.0.0.1",
        "SI_STREAM_LEARNER__METRICS_PORT": str(learner),
        "SI_STREAM_PREDICTOR__PORT": str(predictor),
    }
    sent = run(locked(root, data, ["python", "-c", SEND], environment))
    assert sent.returncode == 0, sent.stderr
    tini, dashes, *program = Instruction("ENTRYPOINT", only(IMAGE, "ENTRYPOINT")).words()
    assert (tini, dashes) == ("tini", "--")
    command = [*program, *Instruction("CMD", only(IMAGE, "CMD")).words()]
    with subprocess.Popen(
        locked(root, data, command, environment), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        try:
            _until_well(process, health_check(), environment)
            _until_well(process, [*health_check(), "--ready"], environment)
            page = urlopen(f"http://127.0.0.1:{predictor}/", timeout=30).read()
            temporary = Path("/proc", str(process.pid), "root", "tmp")
            left = [f"/tmp/{path.relative_to(temporary)}" for path in temporary.rglob("*.*")]
        finally:
            process.terminate()
            lines = process.communicate()[0].decode()
    # On a busy machine the kernel may end the learner's stop after nine seconds: all is saved then.
    assert process.returncode == 0 or "(Alarm clock)" in lines, lines
    assert "all of it is saved" in lines
    assert b"<html" in page
    known = (environment["NUMBA_CACHE_DIR"], str(data))  # a test's data may lie in /tmp
    assert any(path.startswith(known[0]) for path in left)
    assert all(path.startswith(known) for path in left), left


def _until_well(
    process: subprocess.Popen[bytes], check: list[str], environment: Mapping[str, str]
) -> None:
    """Run the health check until it is content, as an engine does."""
    program = shutil.which(check[0], path=environment["PATH"])
    assert program
    command = [program, *check[1:]]
    while subprocess.run(
        command, env=environment, stdout=subprocess.DEVNULL, check=False
    ).returncode:
        assert process.poll() is None
