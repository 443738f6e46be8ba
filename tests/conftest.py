"""What tests share: the real data sets, where there are some, and a quiet environment."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from tests.real_parts import missing

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from deploy.kafka.local_broker import LocalBroker
    from deploy.prometheus.local_prometheus import LocalAlertmanager, LocalPrometheus

    Monitor = TypeVar("Monitor", LocalPrometheus, LocalAlertmanager)

QUIET = ("gpu", "quic", "background-networking", "component-update", "sync")
CHROMIUM_ARGUMENTS = ["--no-sandbox", *(f"--disable-{what}" for what in QUIET)]

# A worker of pytest-xdist ignores Ctrl-C, and what it starts would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _real_data(*folders: str) -> Path:
    """The directory ``SI_STREAM_DATA``, if it holds the folders."""
    root = os.environ.get("SI_STREAM_DATA")
    absent = [folder for folder in folders if not root or not (Path(root) / folder).is_dir()]
    if not root or absent:
        missing(f"needs {', '.join(absent)} in the directory SI_STREAM_DATA (it is {root!r})")
    return Path(root)


@pytest.fixture(scope="session")
def mnist_root() -> Path:
    return _real_data("MNIST/raw")


@pytest.fixture(scope="session")
def cifar_root() -> Path:
    return _real_data("cifar-10-batches-py", "cifar-100")


@contextmanager
def _running(broker: LocalBroker) -> Iterator[LocalBroker]:
    from deploy.local_process import NotAvailable

    try:
        broker.start()
    except NotAvailable as error:
        missing(f"needs a Kafka broker: {error}")
    try:
        yield broker
    finally:
        broker.stop()


@pytest.fixture(scope="session")
def local_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalBroker]:
    """A Kafka broker of these tests alone, which they may kill and start again."""
    from deploy.kafka.local_broker import LocalBroker, Login

    login = Login("learner", "only-for-tests")
    with _running(LocalBroker(tmp_path_factory.mktemp("kafka"), login=login, detour=True)) as kafka:
        yield kafka


@pytest.fixture(scope="module")
def compose_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalBroker]:
    """One with the properties of deploy/compose.yaml."""
    from tests.deploy.compose_file import a_broker

    with _running(a_broker(tmp_path_factory.mktemp("compose"))) as broker:
        yield broker


@pytest.fixture(scope="session")
def kafka_url(request: pytest.FixtureRequest) -> str:
    """The URL of a Kafka broker without a login: that of ``KAFKA_BOOTSTRAP_SERVERS``, or ours."""
    if servers := os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        return f"kafka://{servers}"
    local_kafka: LocalBroker = request.getfixturevalue("local_kafka")
    return f"kafka://{local_kafka.server}"


@pytest.fixture(scope="session")
def kcat() -> str:
    """The command of kcat, with which people write to Kafka and read from it."""
    return shutil.which("kcat") or missing("needs kcat (Debian, Ubuntu: apt install kcat)")


@pytest.fixture(scope="session")
def promtool() -> str:
    """The command that checks rules and metrics; Prometheus comes with it."""
    return shutil.which("promtool") or missing(
        "needs promtool (Debian, Ubuntu: apt install prometheus)"
    )


@pytest.fixture(scope="session")
def amtool() -> str:
    """The command that checks a configuration of Alertmanager; that comes with it."""
    return shutil.which("amtool") or missing(
        "needs amtool (Debian, Ubuntu: apt install prometheus-alertmanager)"
    )


@pytest.fixture(scope="module")
def start_prometheus() -> Iterator[Callable[..., LocalPrometheus]]:
    """Called as `LocalPrometheus`, a Prometheus that runs until the module's tests are over."""
    from deploy.prometheus.local_prometheus import LocalPrometheus

    with _started(LocalPrometheus) as start:
        yield start


@pytest.fixture(scope="module")
def start_alertmanager() -> Iterator[Callable[..., LocalAlertmanager]]:
    """The same of an Alertmanager."""
    from deploy.prometheus.local_prometheus import LocalAlertmanager

    with _started(LocalAlertmanager) as start:
        yield start


@pytest.fixture(scope="session")
def dashboard_types() -> Path:
    """Where npm has put TypeScript and Grafana's types."""
    from deploy.grafana.type_check import fetch_types
    from deploy.local_process import NotAvailable

    try:
        return fetch_types()
    except NotAvailable as error:
        missing(f"needs Grafana's types: {error}")


@contextmanager
def _started(kind: type[Monitor]) -> Iterator[Callable[..., Monitor]]:
    from deploy.local_process import NotAvailable

    with ExitStack() as stack:

        def start(*arguments: Any, **options: Any) -> Monitor:
            try:
                return stack.enter_context(kind(*arguments, **options))
            except NotAvailable as error:
                missing(f"needs {kind.package}: {error}")

        yield start


@pytest.fixture(scope="session")
def curl() -> str:
    """The command of curl, which the README and the demo show."""
    return shutil.which("curl") or missing("needs curl")


@pytest.fixture(scope="session")
def cpp_compiler() -> str:
    """What torch.compile compiles with on a CPU."""
    return shutil.which("g++") or missing("needs g++, a C++ compiler")


@pytest.fixture(scope="session")
def kustomize() -> list[str]:
    """The command that makes manifests of a folder; kubectl has it built in."""
    if program := shutil.which("kustomize"):
        return [program, "build"]
    kubectl = shutil.which("kubectl") or missing("needs kubectl or kustomize")
    return [kubectl, "kustomize"]


@pytest.fixture(scope="session")
def systemd_analyze() -> str:
    """The command that checks units without a systemd that runs."""
    return shutil.which("systemd-analyze") or missing("needs systemd-analyze (Debian: systemd)")


@pytest.fixture(scope="session")
def mounts_of_its_own() -> None:
    """A process can be given mounts that nobody else sees, and another user (Linux, root)."""
    absent = [name for name in ("unshare", "chroot", "setpriv") if not shutil.which(name)]
    if absent or os.geteuid():
        missing(f"needs root and {', '.join(absent) or 'nothing more'} (util-linux, coreutils)")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The browser of this machine, without a window. None is downloaded."""
    path = shutil.which("chromium") or missing("needs chromium (Debian: apt install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def unsteady_kafka(local_kafka: LocalBroker) -> Iterator[LocalBroker]:
    """The broker, for a test that takes it away; it runs again when the test is over."""
    yield local_kafka
    if not local_kafka.running:
        local_kafka.start()


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Small networks gain nothing from more, and other counts give other bits."""
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


@pytest.fixture
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting comes from the shell that runs the tests."""
    for name in os.environ:
        if name.startswith("SI_STREAM_"):
            monkeypatch.delenv(name)


@pytest.fixture(params=["embedded", "kafka"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of a broker, each kind in turn."""
    if request.param == "embedded":
        return f"embedded:{tmp_path / 'broker.sqlite'}"
    kafka_url: str = request.getfixturevalue("kafka_url")
    return kafka_url
