"""deploy/compose.yaml, as far as it can be tried without Docker: its grammar, settings, commands,
ports, mounts, and what of it is the same elsewhere. test_topology.py runs it as plain processes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_spec import PyCompose

from deploy.kafka.local_broker import KAFKA_VERSION, LocalBroker
from services.command import main
from services.learner import STOP_SECONDS
from services.predictor.server import DRAIN_SECONDS
from si_stream.brokers.options import StreamOptions
from si_stream.dead_letters import ROOM_FOR_HEADERS_BYTES
from tests.deploy.compose_file import (
    COMMANDS,
    COMPOSE,
    FOLDER,
    OF_THE_PLACE,
    OURS,
    ROOT,
    SERVICES,
    broker_properties,
    published,
    read,
    settings_of,
)
from tests.deploy.container import USER
from tests.deploy.serving_image import DEPENDENCIES, IMAGE, only

pytestmark = pytest.mark.usefixtures("bare_environment")

LONG_RUNNING = ["kafka", "learner", "predictor", "prometheus", "alertmanager", "grafana"]
ONCE = ["topics", "tokens", "simulate"]


def port_of(name: str) -> int:
    """The container's own."""
    [port] = published(name)
    return port


def listeners(properties: dict[str, str], name: str) -> dict[str, str]:
    return dict(entry.split("://") for entry in properties[name].split(","))


@pytest.mark.parametrize("name", ["compose.yaml", "compose.gpu.yaml"])
def test_it_is_a_compose_file(name: str) -> None:
    document = read(name)
    PyCompose.from_yaml(yaml.safe_dump(document)).validate()
    document["services"]["learner"]["restarts"] = "never"
    with pytest.raises(ValueError, match="restarts"):
        PyCompose.from_yaml(yaml.safe_dump(document))


def test_the_services_are_these_and_all_that_they_name_is_there() -> None:
    assert {*LONG_RUNNING, *ONCE} == set(SERVICES)
    mounts = [entry.split(":") for one in SERVICES.values() for entry in one.get("volumes", [])]
    named = {source for source, *target in mounts if target}
    files = {source for source in named if source.startswith("./")}
    assert named - files == set(COMPOSE["volumes"])
    assert all((FOLDER / source).exists() for source in files)
    assert {name for one in SERVICES.values() for name in one.get("networks", [])} == set(
        COMPOSE["networks"]
    )
    assert {name for one in SERVICES.values() for name in one.get("depends_on", {})} < set(SERVICES)


@pytest.mark.parametrize("name", SERVICES)
def test_each_is_locked_and_bounded(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}
    assert service["mem_limit"]
    assert service["pids_limit"]
    assert ":" in service["image"]
    assert not service["image"].endswith(":latest")
    assert not {"privileged", "network_mode"} & service.keys() or service["network_mode"] == "none"
    assert published(name) is not None  # of this machine alone
    assert service["restart"] == ("unless-stopped" if name in LONG_RUNNING else "no")


@pytest.mark.parametrize("name", OURS)
def test_what_writes_has_a_volume_and_the_image_is_built_with_its_own_arguments(name: str) -> None:
    service = SERVICES[name]
    assert any(entry.startswith("/tmp:") for entry in service["tmpfs"])
    build = service["build"]
    assert (FOLDER / build["context"]).resolve() == ROOT
    known = {text.partition("=")[0] for text in DEPENDENCIES.texts("ARG") + IMAGE.texts("ARG")}
    assert build["args"].keys() <= known
    assert (build["args"].get("EXTRAS") == "simulators") == (name == "simulate")
    assert service["image"].startswith("si-stream-simulate:") == (name == "simulate")


def test_learner_and_predictor_agree_with_each_other_and_the_ports(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    learner = settings_of(SERVICES["learner"], monkeypatch)
    learner.require_model()
    predictor = settings_of(SERVICES["predictor"], monkeypatch)
    assert learner.directory == predictor.directory == Path("/data")
    assert published("learner") == {learner.learner.metrics_port: [9101]}
    assert [*published("predictor")] == [predictor.predictor.port]
    assert learner.learner.metrics_host == predictor.predictor.host == "0.0.0.0"
    assert predictor.predictor.source == f"http://learner:{learner.learner.metrics_port}"
    assert predictor.predictor.source_token_file == learner.learner.read_token_file


def test_three_predictors_have_a_port_and_a_volume_each() -> None:
    [ports] = published("predictor").values()
    assert len(ports) >= 3
    others = [name for name in SERVICES if name != "predictor"]
    taken = {port for name in others for outer in published(name).values() for port in outer}
    assert not taken & set(ports)
    assert "/data" in SERVICES["predictor"]["volumes"]  # without a name: nobody else's
    assert "container_name" not in SERVICES["predictor"]


@pytest.mark.parametrize("name", ["topics", "learner", "simulate"])
def test_each_that_knows_the_stream_has_it_on_the_broker_beside_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(SERVICES[name], monkeypatch)
    advertised = listeners(broker_properties(), "advertised.listeners")
    assert settings.stream == StreamOptions(broker=f"kafka://{advertised['PLAINTEXT']}")
    assert set(SERVICES[name]["networks"]) & set(SERVICES["kafka"]["networks"])


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_and_each_health_check_is_one_of_the_command_line(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    checked = SERVICES[name]["healthcheck"]
    commands = [SERVICES[name]["command"]]
    if name in LONG_RUNNING:
        form, program, *check = checked["test"]
        assert (form, program) == ("CMD", "si-stream")
        commands.append(check)
    else:
        assert checked == {"disable": True}
    for command in commands:
        assert main([*command, "--help"]) == 0
        assert f"Usage: si-stream {command[0]}" in capsys.readouterr().out


def test_what_stops_has_time() -> None:
    for name in ("learner", "predictor"):
        grace = int(SERVICES[name]["stop_grace_period"].removesuffix("s"))
        assert grace > max(STOP_SECONDS, DRAIN_SECONDS)


def test_no_process_of_ours_is_the_first_of_its_container() -> None:
    """Else a second SIGTERM, and the alarm that ends a stop which takes too long, do nothing."""
    assert only(IMAGE, "ENTRYPOINT").startswith('["tini", ')
    assert "apt-get install --yes --no-install-recommends tini " in " ".join(
        IMAGE.texts("RUN")[0].split()
    )
    assert not any("init" in SERVICES[name] for name in OURS)


def test_the_tokens_are_read_by_who_may(monkeypatch: pytest.MonkeyPatch) -> None:
    learner = settings_of(SERVICES["learner"], monkeypatch).learner
    for name, path in (
        ("learner", learner.token_file),
        ("snapshots", learner.read_token_file),
        ("grafana", Path(SERVICES["grafana"]["environment"]["GF_SECURITY_ADMIN_PASSWORD__FILE"])),
    ):
        assert path == Path("/tokens", name)
        assert f'"{name}"' in SERVICES["tokens"]["command"][0]
    assert SERVICES["grafana"]["group_add"] == [USER]
    for name in ("learner", "predictor", "grafana"):
        assert "tokens:/tokens:ro" in SERVICES[name]["volumes"]
        assert SERVICES[name]["depends_on"]["tokens"] == {
            "condition": "service_completed_successfully"
        }


def test_the_gpu_is_the_learners_and_no_learner_goes_on_without_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    over: dict[str, Any] = read("compose.gpu.yaml")["services"]
    assert [*over] == ["learner"]
    own = over["learner"]
    assert own["image"] != SERVICES["learner"]["image"]
    assert own["build"]["args"]["TORCH_BACKEND"].startswith("cu")
    environment = SERVICES["learner"]["environment"] | own["environment"]
    assert settings_of({"environment": environment}, monkeypatch).compute.device == "cuda"
    assert own["tmpfs"][0].endswith(",exec")  # for what Triton compiles


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
    outer = int(advertised["HOST"].split(":")[1])
    assert published("kafka") == {int(listening["HOST"][1:]): [outer]}
    assert listening["PLAINTEXT"][1:] in str(SERVICES["kafka"]["healthcheck"])
    assert SERVICES["kafka"]["volumes"] == [f"kafka:{properties['log.dirs']}"]
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{KAFKA_VERSION}"


def test_the_broker_takes_what_the_stream_takes_and_makes_no_topic_by_itself() -> None:
    properties = broker_properties()
    room = StreamOptions().max_message_bytes + ROOM_FOR_HEADERS_BYTES
    assert int(properties["message.max.bytes"]) == room
    assert properties["auto.create.topics.enable"] == "false"


def test_the_broker_writes_no_log_that_outgrows_its_room() -> None:
    """Its start script's default has Java log each collection, into ten files of 100 MB."""
    kafka = SERVICES["kafka"]
    assert "-loggc" not in kafka["environment"]["EXTRA_ARGS"].split()
    assert any(entry.startswith("/opt/kafka/logs:") for entry in kafka["tmpfs"])


def test_prometheus_has_the_shipped_rules_and_jobs_at_the_addresses_there() -> None:
    here, shipped = read("compose/prometheus.yml"), read("prometheus/prometheus.yml")
    assert here["global"] == shipped["global"]
    assert here["rule_files"] == [*shipped["rule_files"], "discovered.yml"]
    mounted = dict(entry.split(":")[:2] for entry in SERVICES["prometheus"]["volumes"][1:])
    assert mounted == {
        "./compose/prometheus.yml": "/etc/prometheus/prometheus.yml",
        **{f"./prometheus/{name}": f"/etc/prometheus/{name}" for name in here["rule_files"]},
    }
    learner, predictor = here["scrape_configs"]
    assert [job["job_name"] for job in shipped["scrape_configs"]] == [
        learner["job_name"],
        predictor["job_name"],
    ]
    [static] = learner["static_configs"]
    [discovered] = predictor["dns_sd_configs"]
    assert static["targets"] == [f"learner:{port_of('learner')}"]
    assert (discovered["names"], discovered["port"]) == (
        ["predictor"],
        port_of("predictor"),
    )
    [labelled] = predictor["relabel_configs"]
    assert static["labels"] == {labelled["target_label"]: labelled["replacement"]}
    [alertmanagers] = here["alerting"]["alertmanagers"]
    [at] = alertmanagers["static_configs"]
    assert at["targets"] == [f"alertmanager:{port_of('alertmanager')}"]


def test_grafana_has_the_shipped_dashboard_and_data_source_at_the_address_there() -> None:
    here = read("compose/datasource.yml")
    shipped = read("grafana/provisioning/datasources/prometheus.yml")
    shipped["datasources"][0]["url"] = f"http://prometheus:{port_of('prometheus')}"
    assert here == shipped
    mounted = dict(entry.split(":")[:2] for entry in SERVICES["grafana"]["volumes"])
    [provider] = read("grafana/provisioning/dashboards/si-stream.yml")["providers"]
    folder = Path(provider["options"]["path"])
    assert mounted["./grafana/dashboards"] == str(folder)
    home = Path(SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert home.parent == folder
    assert (FOLDER / "grafana" / "dashboards" / home.name).exists()
    requirements = (ROOT / "pyproject.toml").read_text()
    release = SERVICES["grafana"]["image"].partition(":")[2].rpartition(".")[0]
    assert f'"grafana-foundation-sdk==1769699379!{release}.' in requirements


def test_a_real_broker_knows_each_property_and_takes_its_value(
    compose_broker: LocalBroker,
) -> None:
    from kafka import KafkaAdminClient
    from kafka.admin import ConfigResource, ConfigResourceType

    properties = broker_properties()
    with KafkaAdminClient(bootstrap_servers=compose_broker.server) as admin:
        resource = ConfigResource(ConfigResourceType.BROKER, properties["node.id"])
        described = admin.describe_configs([resource], config_filter="all")
    (known,) = described["broker"].values()
    assert properties.keys() <= known.keys()
    portable = {name: value for name, value in properties.items() if name not in OF_THE_PLACE}
    assert {name: known[name]["value"] for name in portable} == portable
