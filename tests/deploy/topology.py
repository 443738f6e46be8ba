"""The services of deploy/compose.yaml as processes of this machine, without containers.

Invariant: each has the command and the variables of the file; only the names of hosts, the ports
and the directories are others, and the device is the CPU.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.local_process import free_ports
from tests.deploy.compose_file import SERVICES, variables_of
from tests.deploy.dockerfile import Instruction
from tests.deploy.serving_image import IMAGE, only

PROGRAMS = Path(sys.executable).parent
ENTRYPOINT = Instruction("ENTRYPOINT", only(IMAGE, "ENTRYPOINT")).words()


class Topology:
    """Args:
    directory: of all volumes.
    broker: HOST:PORT in place of the file's broker.
    predictors: how many, as with --scale.
    """

    def __init__(self, directory: Path, broker: str, predictors: int) -> None:
        self.directory = directory
        self.learner_port, *self.predictor_ports = free_ports(1 + predictors)
        self.processes: list[subprocess.Popen[bytes]] = []
        self._hosts = {
            "kafka:9092": broker,
            "learner:9101": f"127.0.0.1:{self.learner_port}",
        }

    def volume(self, name: str) -> Path:
        path = self.directory / name
        path.mkdir(exist_ok=True)
        return path

    def environment(self, name: str, replica: int = 0) -> dict[str, str]:
        """Args:
        replica: which of several it is; each has a volume and a port of its own.
        """
        service = SERVICES[name]
        paths = {"/tmp": str(self.volume(f"tmp-{name}-{replica}"))}
        for entry in service.get("volumes", []):
            source, named, rest = entry.partition(":")
            inside = rest.partition(":")[0] if named else source
            paths[inside] = str(self.volume(source if named else f"{name}-{replica}"))
        variables = {key: self._here(value, paths) for key, value in variables_of(service).items()}
        return {
            **variables,
            "PATH": f"{PROGRAMS}:{os.environ['PATH']}",
            "SI_STREAM_COMPUTE__DEVICE": "cpu",
            "SI_STREAM_LEARNER__METRICS_HOST": "127.0.0.1",
            "SI_STREAM_LEARNER__METRICS_PORT": str(self.learner_port),
            "SI_STREAM_PREDICTOR__HOST": "127.0.0.1",
            "SI_STREAM_PREDICTOR__PORT": str(self.predictor_ports[replica]),
        }

    def command(self, name: str) -> list[str]:
        service = SERVICES[name]
        if "entrypoint" in service:
            volume = str(self.volume(service["volumes"][0].partition(":")[0]))
            return [
                *service["entrypoint"],
                *(text.replace("/data", volume) for text in service["command"]),
            ]
        return [*ENTRYPOINT[2:], *service["command"]]  # tini is not here

    def start(self, name: str, replica: int = 0) -> subprocess.Popen[bytes]:
        with (self.directory / f"{name}-{replica}.log").open("ab") as log:
            process = subprocess.Popen(
                self.command(name),
                env=self.environment(name, replica),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.processes.append(process)
        return process

    def stop(self, process: subprocess.Popen[bytes]) -> int:
        process.terminate()
        self.processes.remove(process)
        return process.wait()

    def run(self, name: str, *more: str, variables: dict[str, str] | None = None) -> None:
        """One that ends, and with 0."""
        done = subprocess.run(
            [*self.command(name), *more],
            env=self.environment(name) | (variables or {}),
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    def is_well(self, name: str, replica: int = 0, *more: str) -> bool:
        """What its health check says."""
        form, *check = SERVICES[name]["healthcheck"]["test"]
        assert form == "CMD"
        environment = self.environment(name, replica)
        done = subprocess.run([*check, *more], env=environment, capture_output=True, check=False)
        return done.returncode == 0

    def _here(self, value: str, paths: dict[str, str]) -> str:
        for host, address in self._hosts.items():
            value = value.replace(f"//{host}", f"//{address}")
        for inside, path in paths.items():
            if value == inside or value.startswith(f"{inside}/"):
                value = path + value[len(inside) :]
        return value


@contextmanager
def topology(directory: Path, broker: str, *, predictors: int) -> Iterator[Topology]:
    made = Topology(directory, broker, predictors)
    try:
        yield made
    finally:
        for process in made.processes:
            process.kill()
            process.wait()
