"""deploy/kubernetes, as far as it can be tried without a cluster: what kustomize makes of the
overlays is held against Kubernetes' schemas, the restricted standard for pods, and the program.
test_topology.py asks real processes what the probes ask.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from deploy.kafka.local_broker import KAFKA_VERSION
from services.command import main
from services.learner import STOP_SECONDS
from services.predictor.server import DRAIN_SECONDS
from si_stream.settings import Settings, load_settings
from tests.deploy.compose_file import SERVICES
from tests.deploy.container import USER
from tests.deploy.serving_image import IMAGE, ROOT

FOLDER = ROOT / "deploy" / "kubernetes"
OVERLAYS = ["local", "production"]
VERSIONS = ["1.30", kubernetes_validate.latest_version()]  # the oldest that takes all of it
OURS = ["learner", "predictor", "topics"]
Manifest = dict[str, Any]

pytestmark = pytest.mark.usefixtures("bare_environment")


class Rendered:
    """What kustomize makes of a folder, by kind and name."""

    def __init__(self, text: str) -> None:
        self.manifests: list[Manifest] = list(yaml.safe_load_all(text))

    def of_kind(self, kind: str) -> dict[str, Manifest]:
        return {one["metadata"]["name"]: one for one in self.manifests if one["kind"] == kind}

    def named(self, kind: str, name: str) -> Manifest:
        return self.of_kind(kind)[name]

    def pods(self) -> Iterator[tuple[str, Manifest]]:
        """The template of each workload's pods."""
        for kind in ("StatefulSet", "Deployment", "Job"):
            for name, manifest in self.of_kind(kind).items():
                yield name, manifest["spec"]["template"]

    def pod(self, component: str) -> Manifest:
        pods = dict(self.pods())
        template: Manifest = pods[f"si-stream-{component}"]
        return template

    def container(self, component: str) -> Manifest:
        [container] = self.pod(component)["spec"]["containers"]
        found: Manifest = container
        return found

    def settings_file(self) -> str:
        [configuration] = self.of_kind("ConfigMap").values()
        text: str = configuration["data"]["settings.toml"]
        return text


@pytest.fixture(scope="module")
def render(kustomize: list[str]) -> Callable[[Path], Rendered]:
    def rendered(folder: Path) -> Rendered:
        done = subprocess.run([*kustomize, folder], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "Warning" not in done.stderr
        return Rendered(done.stdout)

    return rendered


@pytest.fixture(scope="module", params=OVERLAYS)
def overlay(request: pytest.FixtureRequest, render: Callable[[Path], Rendered]) -> Rendered:
    return render(FOLDER / "overlays" / request.param)


@pytest.mark.parametrize("version", VERSIONS)
def test_all_of_it_is_as_the_schemas_of_kubernetes_have_it(overlay: Rendered, version: str) -> None:
    for manifest in overlay.manifests:
        kubernetes_validate.validate(manifest, version, strict=True)
    wrong = {**manifest, "spec": {**manifest["spec"], "podSelectors": {}}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, version, strict=True)


def test_each_pod_meets_the_restricted_standard_and_can_write_no_root(overlay: Rendered) -> None:
    [namespace] = overlay.of_kind("Namespace").values()
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for name, template in overlay.pods():
        pod = template["spec"]
        assert pod["securityContext"]["runAsNonRoot"], name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not pod["automountServiceAccountToken"]
        assert not pod.keys() & {"hostNetwork", "hostPID", "hostIPC"}
        kinds = {kind for volume in pod["volumes"] for kind in volume.keys() - {"name"}}
        assert kinds <= {"emptyDir", "configMap", "secret"}
        assert all(
            volume["emptyDir"]["sizeLimit"] for volume in pod["volumes"] if "emptyDir" in volume
        )
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}
            assert "memory" in container["resources"]["limits"]
            assert not container["image"].endswith((":latest", "si-stream"))
            assert "/tmp" in {mount["mountPath"] for mount in container["volumeMounts"]}
    for component in OURS:
        context = overlay.pod(component)["spec"]["securityContext"]
        assert [context["runAsUser"], context["runAsGroup"]] == [int(USER)] * 2


def test_no_variable_of_a_service_is_taken_for_a_setting(overlay: Rendered) -> None:
    """Kubernetes would add SI_STREAM_LEARNER_PORT, and KAFKA_PORT."""
    for _, template in overlay.pods():
        assert template["spec"]["enableServiceLinks"] is False


@pytest.mark.parametrize("component", OURS)
def test_each_command_is_one_of_the_command_line_with_settings_that_it_takes(
    component: str,
    overlay: Rendered,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    container = overlay.container(component)
    assert main([*container["args"], "--help"]) == 0
    assert f"Usage: si-stream {container['args'][0]}" in capsys.readouterr().out
    settings = settings_of(overlay, component, monkeypatch, tmp_path)
    settings.require_model()
    assert settings.stream.broker.startswith("kafka://")


def settings_of(
    overlay: Rendered, component: str, monkeypatch: pytest.MonkeyPatch, directory: Path
) -> Settings:
    """By the image's variables, the pod's and the file of the ConfigMap."""
    container = overlay.container(component)
    given = {entry["name"]: entry["value"] for entry in container["env"]}
    [mounted] = [mount for mount in container["volumeMounts"] if mount["name"] == "settings"]
    assert given["SI_STREAM_CONFIG"] == f"{mounted['mountPath']}/settings.toml"
    file = directory / "settings.toml"
    file.write_text(overlay.settings_file())
    with monkeypatch.context() as environment:
        for name, value in (IMAGE.environment({}) | given).items():
            if name.startswith("SI_STREAM_"):
                environment.setenv(name, value)
        return load_settings(file)


def test_predictors_follow_the_learner_at_its_service_with_its_token(
    overlay: Rendered, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    learner = settings_of(overlay, "learner", monkeypatch, tmp_path)
    predictor = settings_of(overlay, "predictor", monkeypatch, tmp_path)
    service = overlay.named("Service", "si-stream-learner")
    [port] = service["spec"]["ports"]
    assert predictor.predictor.source == f"http://{service['metadata']['name']}:{port['port']}"
    assert port["port"] == learner.learner.metrics_port  # headless: no other port is put before it
    assert service["spec"]["clusterIP"] == "None"
    assert predictor.predictor.source_token_file == learner.learner.read_token_file
    files = {learner.learner.token_file, learner.learner.read_token_file}
    assert files == {Path("/tokens/learner"), Path("/tokens/snapshots")}
    for component, keys in (("learner", {"learner", "snapshots"}), ("predictor", {"snapshots"})):
        volumes = {volume["name"]: volume for volume in overlay.pod(component)["spec"]["volumes"]}
        secret = volumes["tokens"]["secret"]
        assert {entry["path"] for entry in secret["items"]} == keys
        assert secret["defaultMode"] == 0o440  # the group is the pod's fsGroup
        assert secret["secretName"].startswith("si-stream-tokens")
        mounts = {m["name"]: m["mountPath"] for m in overlay.container(component)["volumeMounts"]}
        assert mounts["tokens"] == "/tokens"
        assert mounts["data"] == str(learner.directory)


def test_ports_are_the_settings_and_services_lead_to_them(
    overlay: Rendered, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    learner = settings_of(overlay, "learner", monkeypatch, tmp_path).learner.metrics_port
    predictor = settings_of(overlay, "predictor", monkeypatch, tmp_path).predictor.port
    for component, expected in (("learner", learner), ("predictor", predictor)):
        [port] = overlay.container(component)["ports"]
        assert port == {"name": "http", "containerPort": expected}
        template = overlay.pod(component)["metadata"]
        assert template["annotations"]["prometheus.io/port"] == str(expected)
        service = overlay.named("Service", f"si-stream-{component}")["spec"]
        assert service["selector"].items() <= template["labels"].items()
        assert [entry["targetPort"] for entry in service["ports"]] == ["http"]


def test_only_readiness_asks_for_a_snapshot_and_starting_may_take_long(overlay: Rendered) -> None:
    containers = [overlay.container("learner"), overlay.container("predictor")]
    asked = {
        kind: tuple(one[f"{kind}Probe"]["httpGet"]["path"] for one in containers)
        for kind in ("startup", "liveness", "readiness")
    }
    assert asked == {
        "startup": ("/health", "/healthz/live"),
        "liveness": ("/health", "/healthz/live"),
        "readiness": ("/health", "/healthz/ready"),
    }
    for container in containers:
        startup = container["startupProbe"]
        assert startup["periodSeconds"] * startup["failureThreshold"] >= 120


def test_what_stops_has_time_to(overlay: Rendered) -> None:
    learner, predictor = overlay.pod("learner")["spec"], overlay.pod("predictor")["spec"]
    assert learner["terminationGracePeriodSeconds"] > STOP_SECONDS
    pause = predictor["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert predictor["terminationGracePeriodSeconds"] > pause + DRAIN_SECONDS


def test_there_is_one_learner_and_as_many_predictors_as_the_autoscaler_says(
    overlay: Rendered,
) -> None:
    learner = overlay.named("StatefulSet", "si-stream-learner")["spec"]
    assert learner["replicas"] == 1
    assert [claim["metadata"]["name"] for claim in learner["volumeClaimTemplates"]] == ["data"]
    assert "replicas" not in overlay.named("Deployment", "si-stream-predictor")["spec"]
    scaler = overlay.named("HorizontalPodAutoscaler", "si-stream-predictor")["spec"]
    assert scaler["scaleTargetRef"]["name"] == "si-stream-predictor"
    assert "cpu" in overlay.container("predictor")["resources"]["requests"]
    budget = overlay.named("PodDisruptionBudget", "si-stream-predictor")["spec"]
    labels = overlay.pod("predictor")["metadata"]["labels"]
    assert budget["selector"]["matchLabels"].items() <= labels.items()
    for spread in overlay.pod("predictor")["spec"]["topologySpreadConstraints"]:
        assert spread["labelSelector"]["matchLabels"].items() <= labels.items()


def test_all_but_what_is_named_is_refused_on_the_network(overlay: Rendered) -> None:
    policies = overlay.of_kind("NetworkPolicy")
    labels = {component: overlay.pod(component)["metadata"]["labels"] for component in OURS}

    def reaches(component: str, way: str) -> set[str]:
        return {
            name
            for name, policy in policies.items()
            if selects(policy["spec"]["podSelector"], labels[component]) and policy["spec"].get(way)
        }

    everything = policies["si-stream-nothing-else"]["spec"]
    assert all(selects(everything["podSelector"], labels[component]) for component in OURS)
    assert everything["policyTypes"] == ["Ingress", "Egress"]
    assert not everything.keys() & {"ingress", "egress"}
    assert reaches("learner", "ingress") == {"si-stream-learner"}
    assert reaches("learner", "egress") == {"si-stream-names", "si-stream-kafka"}
    assert reaches("predictor", "ingress") == {"si-stream-predictor"}
    assert reaches("predictor", "egress") == {"si-stream-names", "si-stream-predictor"}
    assert reaches("topics", "ingress") == set()
    assert reaches("topics", "egress") == {"si-stream-names", "si-stream-kafka"}
    [to] = policies["si-stream-predictor"]["spec"]["egress"]
    assert selects(to["to"][0]["podSelector"], labels["learner"])
    [source, _] = policies["si-stream-learner"]["spec"]["ingress"][0]["from"]
    assert selects(source["podSelector"], labels["predictor"])


def selects(selector: Manifest, labels: dict[str, str]) -> bool:
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        labels.get(one["key"]) in one["values"] for one in selector.get("matchExpressions", [])
    )


def test_the_broker_of_the_local_cluster_is_that_of_compose(
    render: Callable[[Path], Rendered], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    overlay = render(FOLDER / "overlays" / "local")
    [container] = dict(overlay.pods())["kafka"]["spec"]["containers"]
    assert container["image"] == f"apache/kafka:{KAFKA_VERSION}"
    given = {entry["name"]: entry["value"] for entry in container["env"]}
    expected = {name: str(value) for name, value in SERVICES["kafka"]["environment"].items()}
    other = {name for name in given if given[name] != expected[name]}
    assert given.keys() == expected.keys()
    assert other == {  # no listener for the machine outside, and the volume's lost+found is no log
        "KAFKA_LISTENERS",
        "KAFKA_ADVERTISED_LISTENERS",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP",
        "KAFKA_LOG_DIRS",
    }
    settings = settings_of(overlay, "learner", monkeypatch, tmp_path)
    address = given["KAFKA_ADVERTISED_LISTENERS"].removeprefix("PLAINTEXT://")
    assert settings.stream.broker == f"kafka://{address}"
    [policy] = overlay.named("NetworkPolicy", "si-stream-kafka")["spec"]["egress"]
    assert address.endswith(f":{policy['ports'][0]['port']}")


def test_production_has_no_token_that_others_know(render: Callable[[Path], Rendered]) -> None:
    assert not render(FOLDER / "overlays" / "production").of_kind("Secret")


@pytest.mark.parametrize("component", ["gpu", "prometheus-operator"])
def test_the_components_fit_into_production(
    component: str, render: Callable[[Path], Rendered]
) -> None:
    """As kustomize wants it, beside the folders that it names."""
    folder = FOLDER / "overlays" / "of-a-test"
    folder.mkdir()
    try:
        (folder / "kustomization.yaml").write_text(
            "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"
            f"resources: [../production]\ncomponents: [../../components/{component}]\n"
        )
        rendered = render(folder)
    finally:
        (folder / "kustomization.yaml").unlink()
        folder.rmdir()
    if component == "gpu":
        container = rendered.container("learner")
        assert container["image"] == "si-stream-gpu"
        assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
        names = [entry["name"] for entry in container["env"]]
        assert names[-1] == "SI_STREAM_COMPUTE__DEVICE"
        return
    for role in ("learner", "predictor"):
        monitor = rendered.named("PodMonitor", f"si-stream-{role}")["spec"]
        assert selects(monitor["selector"], rendered.pod(role)["metadata"]["labels"])
        [endpoint] = monitor["podMetricsEndpoints"]
        given = {one["targetLabel"]: one["replacement"] for one in endpoint["relabelings"]}
        assert given == {"job": f"si-stream-{role}", "model": Settings().model.name}
        assert endpoint["port"] == rendered.container(role)["ports"][0]["name"]
