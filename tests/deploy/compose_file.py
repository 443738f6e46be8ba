"""deploy/compose.yaml as its tests read it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.kafka.local_broker import LocalBroker
from si_stream.settings import Settings, load_settings
from tests.deploy.serving_image import IMAGE

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy"


def read(name: str) -> dict[str, Any]:
    """A file, with the defaults of the variables that it asks for."""
    text = (FOLDER / name).read_text()
    document: dict[str, Any] = yaml.safe_load(re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text))
    return document


COMPOSE = read("compose.yaml")
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if "build" in service]
COMMANDS = [name for name in OURS if "entrypoint" not in SERVICES[name]]
# For Java, and the script that starts it.
OF_THE_START = {"KAFKA_HEAP_OPTS", "EXTRA_ARGS"}
# Of the broker; what cannot be the same outside of the container.
OF_THE_PLACE = {
    "advertised.listeners",
    "controller.quorum.voters",
    "listener.security.protocol.map",
    "listeners",
    "log.dirs",
}


def variables_of(service: Mapping[str, Any]) -> dict[str, str]:
    """The image's, and the service's over them."""
    own = {name: str(value) for name, value in service.get("environment", {}).items()}
    return IMAGE.environment({}) | own


def settings_of(service: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch) -> Settings:
    with monkeypatch.context() as environment:
        for name, value in variables_of(service).items():
            if name.startswith("SI_STREAM_"):
                environment.setenv(name, value)
        return load_settings()


def published(name: str) -> dict[int, list[int]]:
    """Ports of 127.0.0.1 by the container's own."""
    ports = {}
    for entry in SERVICES[name].get("ports", []):
        parts = (
            [str(entry[key]) for key in ("host_ip", "published", "target")]
            if isinstance(entry, dict)
            else entry.split(":")
        )
        host, outer, inner = parts
        assert host == "127.0.0.1"
        first, _, last = outer.partition("-")
        ports[int(inner)] = [*range(int(first), int(last or first) + 1)]
    return ports


def broker_properties() -> dict[str, str]:
    """As the image's start script makes them of its variables."""
    environment: dict[str, Any] = SERVICES["kafka"]["environment"]
    assert all(key.startswith("KAFKA_") for key in environment.keys() - OF_THE_START)
    return {
        key.removeprefix("KAFKA_").lower().replace("_", "."): str(value)
        for key, value in environment.items()
        if key not in OF_THE_START
    }


def a_broker(directory: Path) -> LocalBroker:
    """Of this machine, with the properties of the file's but for what is of the place."""
    properties = broker_properties()
    portable = {name: value for name, value in properties.items() if name not in OF_THE_PLACE}
    return LocalBroker(directory, properties=portable)
