"""deploy/compose.yaml, as far as it can be tried without Docker: settings, commands, ports, and
the broker's properties on a real broker.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.kafka.local_broker import KAFKA_VERSION, LocalBroker
from services.command import main
from si_stream.brokers.options import StreamOptions
from si_stream.dead_letters import ROOM_FOR_HEADERS_BYTES
from si_stream.settings import Settings, load_settings

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if "build" in service]
# What cannot be the same outside of the container.
OF_THE_PLACE = {
    "advertised.listeners",
    "controller.quorum.voters",
    "listener.security.protocol.map",
    "listeners",
    "log.dirs",
}

pytestmark = pytest.mark.usefixtures("bare_environment")


def settings_in(name: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings of a service's process: the image's variables, and the service's over them."""
    words = DOCKERFILE.partition("\nENV ")[2].replace("\\\n", " ").split()
    variables = dict(word.split("=", 1) for word in words if word.startswith("SI_STREAM_"))
    with monkeypatch.context() as environment:
        for key, value in (variables | SERVICES[name].get("environment", {})).items():
            environment.setenv(key, str(value))
        return load_settings()


def published(name: str) -> dict[int, int]:
    """Ports of 127.0.0.1 by the container's own."""
    ports = {}
    for entry in SERVICES[name]["ports"]:
        host, outer, inner = entry.split(":")
        assert host == "127.0.0.1"
        ports[int(inner)] = int(outer)
    return ports


def broker_properties() -> dict[str, str]:
    """As the image's start script makes them of its variables."""
    environment: dict[str, Any] = SERVICES["kafka"]["environment"]
    assert all(key.startswith("KAFKA_") for key in environment)
    return {
        key.removeprefix("KAFKA_").lower().replace("_", "."): str(value)
        for key, value in environment.items()
    }


def listeners(properties: dict[str, str], name: str) -> dict[str, str]:
    return dict(entry.split("://") for entry in properties[name].split(","))


def test_the_services_are_these() -> None:
    assert list(SERVICES) == ["kafka", "topics", "learner", "predictor", "simulate"]
    assert set(COMPOSE["volumes"]) == {
        entry.partition(":")[0]
        for service in SERVICES.values()
        for entry in service.get("volumes", [])
    }


def test_learner_and_predictor_agree_with_the_broker_and_the_ports(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    learner = settings_in("learner", monkeypatch)
    learner.require_model()
    predictor = settings_in("predictor", monkeypatch)
    assert learner.directory == predictor.directory == Path("/data")
    assert published("learner") == {learner.learner.metrics_port: 9101}
    assert published("predictor") == {predictor.predictor.port: 8080}
    assert learner.learner.metrics_host == predictor.predictor.host == "0.0.0.0"
    assert f"127.0.0.1:{predictor.predictor.port}/" in str(SERVICES["predictor"]["healthcheck"])
    exposed = {int(word) for word in DOCKERFILE.split("EXPOSE")[1].splitlines()[0].split()}
    assert exposed == {*published("learner"), *published("predictor")}


@pytest.mark.parametrize("name", [name for name in OURS if name != "predictor"])
def test_each_service_uses_the_stream_on_the_broker_beside_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_in(name, monkeypatch)
    advertised = listeners(broker_properties(), "advertised.listeners")
    assert settings.stream == StreamOptions(broker=f"kafka://{advertised['PLAINTEXT']}")


@pytest.mark.parametrize("name", OURS)
def test_each_command_is_one_of_the_command_line(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*SERVICES[name]["command"], "--help"]) == 0
    words = [word for word in SERVICES[name]["command"] if not word.startswith("-")]
    assert f"Usage: si-stream {words[0]}" in capsys.readouterr().out


def test_what_stops_has_time_and_what_serves_comes_back() -> None:
    for name in ("kafka", "learner", "predictor"):
        assert SERVICES[name]["restart"] == "unless-stopped"
        assert int(SERVICES[name]["stop_grace_period"].removesuffix("s")) > 10
    for name in ("topics", "simulate"):
        assert SERVICES[name]["restart"] == "no"


def test_no_process_of_ours_is_the_first_of_its_container() -> None:
    """Else a second SIGTERM, and the alarm that ends a stop which takes too long, do nothing."""
    entry = json.loads(DOCKERFILE.rpartition("\nENTRYPOINT ")[2].splitlines()[0])
    assert entry == ["tini", "--", "si-stream"]
    assert "apt-get install --yes --no-install-recommends tini " in DOCKERFILE
    assert not any({"entrypoint", "init"} & SERVICES[name].keys() for name in OURS)


def test_the_builds_arguments_are_the_dockerfiles() -> None:
    for name in OURS:
        build = SERVICES[name]["build"]
        assert (ROOT / "deploy" / build["context"]).resolve() == ROOT
        assert all(f"\nARG {argument}=" in DOCKERFILE for argument in build["args"])
    simulators = SERVICES["simulate"]
    assert simulators["build"]["args"]["EXTRAS"] == "simulators"
    assert simulators["image"] != SERVICES["learner"]["image"]


def test_programs_of_this_machine_reach_the_broker_where_it_says_it_is() -> None:
    properties = broker_properties()
    listening = listeners(properties, "listeners")
    advertised = listeners(properties, "advertised.listeners")
    protocols = dict(
        pair.split(":") for pair in properties["listener.security.protocol.map"].split(",")
    )
    assert listening.keys() == protocols.keys() == {*advertised, "CONTROLLER"}
    assert (
        f"{properties['node.id']}@{listening['CONTROLLER']}"
        == (properties["controller.quorum.voters"])
    )
    for name, address in advertised.items():
        assert listening[name] == ":" + address.partition(":")[2]
    assert published("kafka") == {int(listening["HOST"][1:]): int(advertised["HOST"].split(":")[1])}
    assert listening["PLAINTEXT"][1:] in str(SERVICES["kafka"]["healthcheck"])
    assert SERVICES["kafka"]["volumes"] == [f"kafka:{properties['log.dirs']}"]
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{KAFKA_VERSION}"


def test_the_broker_takes_what_the_stream_takes_and_makes_no_topic_by_itself() -> None:
    properties = broker_properties()
    room = StreamOptions().max_message_bytes + ROOM_FOR_HEADERS_BYTES
    assert int(properties["message.max.bytes"]) == room
    assert properties["auto.create.topics.enable"] == "false"


@pytest.mark.usefixtures("local_kafka")  # skips where there cannot be a broker
def test_a_real_broker_knows_each_property_and_takes_its_value(tmp_path: Path) -> None:
    from kafka import KafkaAdminClient
    from kafka.admin import ConfigResource, ConfigResourceType

    properties = broker_properties()
    portable = {name: value for name, value in properties.items() if name not in OF_THE_PLACE}
    broker = LocalBroker(tmp_path, properties=portable)
    broker.start()
    try:
        with KafkaAdminClient(bootstrap_servers=broker.server) as admin:
            resource = ConfigResource(ConfigResourceType.BROKER, properties["node.id"])
            described = admin.describe_configs([resource], config_filter="all")
    finally:
        broker.stop()
    (known,) = described["broker"].values()
    assert properties.keys() <= known.keys()
    assert {name: known[name]["value"] for name in portable} == portable
