"""A Kafka broker of one node on this machine, for development and tests: no Docker, no root.

    python deploy/kafka/local_broker.py        (or: make kafka)

It needs Java 17 and, the first time, Maven, which fetches the broker's jars (44 MB) into a cache
that all checkouts share. Invariant: a broker started again in the same directory has the same
ports, records and certificate, however it ended; no broker outlives the process that started it.
"""

from __future__ import annotations

import argparse
import base64
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from deploy import local_process
from deploy.local_process import LocalProcess, NotAvailable
from si_stream.brokers.kafka.client import make_client
from si_stream.brokers.kafka.reach import ask_for_brokers
from si_stream.brokers.options import KafkaOptions
from si_stream.errors import BrokerError

KAFKA_VERSION = "4.3.1"  # as in pom.xml
JAVA_VERSION = 17
START_SECONDS = 60.0

SERVER_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{ports.controller}
listeners={listeners}
advertised.listeners={advertised}
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_SSL,DETOUR:PLAINTEXT
log.dirs={data}
auto.create.topics.enable=false
message.max.bytes=10485760
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
group.initial.rebalance.delay.ms=0
offsets.topic.replication.factor=1
offsets.topic.num.partitions=2
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=2
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=2
"""
SECURE_PROPERTIES = """\
listener.name.secure.sasl.enabled.mechanisms=PLAIN
listener.name.secure.plain.sasl.jaas.config=\
org.apache.kafka.common.security.plain.PlainLoginModule required user_{user}="{password}";
listener.name.secure.ssl.keystore.type=PEM
listener.name.secure.ssl.keystore.location={keystore}
"""
LOG4J_PROPERTIES = """\
rootLogger.level = warn
rootLogger.appenderRef.0.ref = stdout
appender.0.type = Console
appender.0.name = stdout
appender.0.layout.type = PatternLayout
appender.0.layout.pattern = %d %p %c: %m%n
"""


class Login(NamedTuple):
    """Whom the second listener, SASL/PLAIN over TLS, lets in."""

    user: str
    password: str


class Ports(NamedTuple):
    plain: int
    controller: int
    secure: int
    detour: int
    proxy: int


class LocalBroker:
    """Args:
    directory: where its records, settings and log lie; made if missing.
    ports: free ones unless given.
    login: opens the second listener, at `secure_server`; `certificate` is what to trust.
    properties: of the broker, over those that it has here.
    detour: opens a listener at the port `detour`, which sends its clients on to the port `proxy`.
        Nothing listens there: a test that puts a proxy between the two may cut connections.
    """

    def __init__(
        self,
        directory: Path,
        *,
        ports: Ports | None = None,
        login: Login | None = None,
        properties: Mapping[str, str] | None = None,
        detour: bool = False,
    ) -> None:
        self.directory = directory.absolute()
        self.login = login
        self._own_properties = properties or {}
        self._detour = detour
        self.ports = ports or free_ports()
        self._process: LocalProcess | None = None

    @property
    def server(self) -> str:
        return f"127.0.0.1:{self.ports.plain}"

    @property
    def secure_server(self) -> str:
        return f"localhost:{self.ports.secure}"

    @property
    def certificate(self) -> Path:
        return self.directory / "certificate.pem"

    def start(self) -> None:
        """Start the broker and wait until it answers.

        Raises:
            NotAvailable: Java, Maven or openssl is missing, or the broker did not come up.
        """
        java = find_java()
        class_path = f"{fetch_jars()}/*"
        for port in self._own_ports:
            if not local_process.is_free(port):
                raise NotAvailable(
                    f"port {port} of 127.0.0.1 is taken; end what listens there, or take another"
                )
        self._write_files()
        if not (self.directory / "data" / "meta.properties").exists():
            self._format(java, class_path)
        self._process = LocalProcess(
            [
                *(java, "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
                f"-Dlog4j2.configurationFile={self.directory / 'log4j2.properties'}",
                *("-cp", class_path, "kafka.Kafka", self._properties),
            ],
            log=self.directory / "broker.log",
        )
        try:
            self._wait_until_it_answers(self._process)
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        if self._process is not None:
            self._process.stop()
            self._process = None

    def kill(self) -> None:
        """End it at once, as a crash does (SIGKILL)."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def pause(self) -> None:
        """Let it hang: connections stay open and nothing is answered (SIGSTOP)."""
        assert self._process is not None
        self._process.pause()

    def resume(self) -> None:
        assert self._process is not None
        self._process.resume()

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.running

    def wait(self) -> int:
        assert self._process is not None
        return self._process.wait()

    @property
    def _own_ports(self) -> list[int]:
        plain, controller, secure, detour, _ = self.ports
        return [plain, controller, *[secure] * bool(self.login), *[detour] * self._detour]

    @property
    def _properties(self) -> Path:
        return self.directory / "server.properties"

    def _write_files(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        listeners = [f"PLAINTEXT://{self.server}", f"CONTROLLER://127.0.0.1:{self.ports[1]}"]
        secure = ""
        if self.login:
            listeners.append(f"SECURE://{self.secure_server}")
            keystore = self._make_certificate()
            secure = SECURE_PROPERTIES.format(**self.login._asdict(), keystore=keystore)
        advertised = listeners.copy()
        if self._detour:
            listeners.append(f"DETOUR://127.0.0.1:{self.ports.detour}")
            advertised.append(f"DETOUR://127.0.0.1:{self.ports.proxy}")
        plain = SERVER_PROPERTIES.format(
            ports=self.ports,
            listeners=",".join(listeners),
            advertised=",".join(advertised),
            data=self.directory / "data",
        )
        own = "".join(f"{name}={value}\n" for name, value in self._own_properties.items())
        self._properties.write_text(plain + secure + own)  # the later of two holds
        (self.directory / "log4j2.properties").write_text(LOG4J_PROPERTIES)

    def _make_certificate(self) -> Path:
        keystore = self.directory / "keystore.pem"
        if not keystore.exists():
            key = self.directory / "key.pem"
            _run(
                [
                    *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650"),
                    *("-keyout", key, "-out", self.certificate, "-subj", "/CN=localhost"),
                    *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
                ],
                missing="openssl makes the certificate of the TLS listener: install openssl",
            )
            keystore.write_text(key.read_text() + self.certificate.read_text())
        return keystore

    def _format(self, java: str, class_path: str) -> None:
        cluster = base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")
        _run(
            [
                *(java, "-cp", class_path, "kafka.tools.StorageTool", "format", "--standalone"),
                *(f"--cluster-id={cluster}", "-c", self._properties),  # it may begin with a dash
            ],
            missing=f"{java} is gone",
        )

    def _wait_until_it_answers(self, process: LocalProcess) -> None:
        client = make_client(self.server, KafkaOptions())
        deadline = time.monotonic() + START_SECONDS
        while process.running and time.monotonic() < deadline:
            try:
                if ask_for_brokers(client, client.servers[0], timeout_seconds=5.0):
                    return
            except BrokerError:
                pass
            time.sleep(0.1)
        what = "ended" if not process.running else f"did not answer within {START_SECONDS:.0f} s"
        raise NotAvailable(f"the Kafka broker {what}; {process.last_lines()}")


def fetch_jars() -> Path:
    """The directory of the broker's jars, which Maven fetches once.

    Raises:
        NotAvailable: Maven is missing or cannot fetch them.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    jars = cache / "si-stream" / f"kafka-{KAFKA_VERSION}"
    if jars.is_dir():
        return jars
    jars.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{jars.name}-", dir=jars.parent) as partial:
        _run(
            [
                *("mvn", "-q", "-B", "-f", Path(__file__).with_name("pom.xml")),
                *("dependency:copy-dependencies", "-DincludeScope=runtime"),
                f"-DoutputDirectory={partial}/jars",
            ],
            missing="Maven fetches Kafka: install it (Debian, Ubuntu: apt install maven)",
        )
        try:
            Path(partial, "jars").rename(jars)  # whole or not at all
        except OSError:
            if not jars.is_dir():  # another process was faster
                raise
    return jars


def find_java() -> str:
    """The command of a Java that runs the broker.

    Raises:
        NotAvailable: there is none, or it is too old.
    """
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=f"{home}/bin" if home else None)
    wanted = (
        f"the Kafka broker needs Java {JAVA_VERSION} or newer: install it "
        f"(Debian, Ubuntu: apt install openjdk-{JAVA_VERSION}-jre-headless)"
    )
    if java is None:
        raise NotAvailable(wanted)
    version = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(\d+)', version)
    if found is None or int(found[1]) < JAVA_VERSION:
        raise NotAvailable(f"{wanted}; {java} says {version.strip() or 'nothing'!r}")
    return java


def free_ports() -> Ports:
    return Ports(*local_process.free_ports(len(Ports._fields)))


def _run(command: list[str | Path], *, missing: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise NotAvailable(missing) from None
    if done.returncode:
        output = (done.stdout + done.stderr).strip()
        raise NotAvailable(f"{command[0]} ended with {done.returncode}:\n{output}")


def main() -> int:
    parser = argparse.ArgumentParser(description="A Kafka broker for development; Ctrl-C ends it.")
    parser.add_argument("--port", type=int, default=9092, help="of 127.0.0.1 (default: 9092)")
    parser.add_argument(
        "--directory",
        type=Path,
        default=Path("si-stream-data/kafka"),
        help="of its records, which stay there (default: si-stream-data/kafka)",
    )
    given = parser.parse_args()
    broker = LocalBroker(given.directory, ports=free_ports()._replace(plain=given.port))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        print("starting Kafka ...", flush=True)
        broker.start()
        print(
            f"Kafka {KAFKA_VERSION} listens on {broker.server}; its records are in "
            f"{broker.directory}.\n\n"
            f"    export SI_STREAM_STREAM__BROKER=kafka://{broker.server}   # for si-stream\n"
            f"    export KAFKA_BOOTSTRAP_SERVERS={broker.server}            # for the tests\n\n"
            "Ctrl-C ends it.",
            flush=True,
        )
        return broker.wait()
    except NotAvailable as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0
    finally:
        broker.stop()


if __name__ == "__main__":
    sys.exit(main())
