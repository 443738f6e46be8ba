"""The shipped files under the checks of their own programs, and what they promise each other."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from deploy.grafana.thresholds import threshold
from deploy.prometheus.rules import ALERTMANAGER_FILE, HERE, alerts, divided, read, shipped
from services import checkpointing
from si_stream.settings import Settings

RULES = [HERE / f"{name}.yml" for name in ("rules", "alerts", "discovered")]
DOCS = HERE.parents[1] / "docs"
TESTS = sorted((HERE / "tests").glob("*.yml"))
ALERTS = alerts(shipped())
DISCOVERED = alerts({"discovered.yml": read(HERE / "discovered.yml")})  # beside them
METRIC = re.compile(r"\b(?:si_stream|process)_[a-z_]+\b(?!:)")
# By alert; a change here is a change for whoever is called at night.
SEVERITIES = {
    "SIStreamAlarmStorm": "ticket",
    "SIStreamCheckpointOld": "page",
    "SIStreamDeadLetters": "ticket",
    "SIStreamForgetting": "page",
    "SIStreamHoldoutOld": "ticket",
    "SIStreamLagRising": "ticket",
    "SIStreamLearnerDown": "page",
    "SIStreamLossNotFinite": "ticket",
    "SIStreamNoSample": "page",
    "SIStreamPartitionEmpty": "page",
    "SIStreamPredictorDown": "page",
    "SIStreamPredictorOld": "page",
    "SIStreamPredictorOverloaded": "ticket",
    "SIStreamRetentionNear": "ticket",
    "SIStreamSourceAway": "ticket",
    "SIStreamWritingFails": "ticket",
}


def ran(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_promtool_and_amtool_find_nothing_wrong(promtool: str, amtool: str) -> None:
    ran(promtool, "check", "config", HERE / "prometheus.yml")
    ran(promtool, "check", "rules", "--lint-fatal", *RULES)
    ran(amtool, "check-config", ALERTMANAGER_FILE)


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_the_rules_pass_their_unit_tests_at_the_durations_that_are_shipped(
    path: Path, promtool: str
) -> None:
    ran(promtool, "test", "rules", path)


def test_where_snapshots_are_written_seldom_one_that_is_on_time_is_not_old_once_it_is_told(
    promtool: str, tmp_path: Path
) -> None:
    """As its comment says: snapshots.interval_seconds and its threshold are raised together."""
    told = re.sub(
        r"(record: si_stream_threshold:snapshot_age_seconds\n *expr:) vector\(600\)",
        r"\1 vector(4500)",
        (HERE / "rules.yml").read_text("utf-8"),
    )
    (tmp_path / "rules.yml").write_text(told)
    labels = '{model="seldom", instance="a"'
    hourly = " ".join(str(60 * (minute % 60)) for minute in range(180))
    case = {
        "interval": "1m",
        "input_series": [
            {"series": f"si_stream_snapshot_age_seconds{labels}}}", "values": hourly},
            {"series": f"si_stream_step{labels}}}", "values": "700x180"},
            {"series": f'si_stream_model_info{labels}, detector="adwin"}}', "values": "1x180"},
        ],
        "promql_expr_test": [
            {"expr": "ALERTS", "eval_time": f"{minute}m", "exp_samples": []}
            for minute in (30, 59, 119)
        ],
    }
    files = ["rules.yml", str(HERE / "alerts.yml")]
    test = {"rule_files": files, "evaluation_interval": "15s", "tests": [case]}
    (tmp_path / "test.yml").write_text(yaml.safe_dump(test))
    ran(promtool, "test", "rules", tmp_path / "test.yml")


def test_the_alerts_are_these_each_seen_to_fire_by_a_unit_test() -> None:
    assert {name: rule["labels"]["severity"] for name, rule in ALERTS.items()} == SEVERITIES
    texts = [path.read_text("utf-8") for path in TESTS]
    assert {name for text in texts for name in re.findall(r"ALERTS{alertname=\"(\w+)", text)} == {
        *ALERTS,
        *DISCOVERED,
    }


def test_each_alert_says_what_is_wrong_and_where_its_section_of_the_run_book_is() -> None:
    page = (DOCS / "operations.md").read_text("utf-8")
    for name, rule in ALERTS.items():
        assert rule["annotations"].keys() == {"summary", "description", "runbook"}
        assert rule["annotations"]["runbook"] == f"docs/operations.md#{name.lower()}"
        assert f"\n### {name}\n" in page
    assert {*re.findall(r"^### (SIStream\w+)$", page, re.MULTILINE)} == set(ALERTS)


def test_each_metric_that_the_rules_name_is_documented_and_what_they_record_is_used() -> None:
    texts = {name: (HERE / name).read_text("utf-8") for name in ("rules.yml", "alerts.yml")}
    documented = (DOCS / "metrics.md").read_text("utf-8")
    expressions = [
        rule["expr"]
        for document in shipped().values()
        for group in document.get("groups", [])
        for rule in group["rules"]
    ]
    for metric in {name for text in expressions for name in METRIC.findall(text)}:
        assert f"`{metric}`" in documented or metric.startswith("process_"), metric
    for recorded in re.findall(r"record: (\S+)", texts["rules.yml"]):
        assert recorded in texts["alerts.yml"], recorded


def test_what_is_measured_of_each_track_is_asked_of_the_main_one_alone() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \|.*?\| ([^|]*) \|", (DOCS / "metrics.md").read_text(), re.MULTILINE
    )
    of_tracks = {name for name, labels in rows if "track" in labels.split(", ")}
    assert {"si_stream_forgetting_ratio", "si_stream_skipped_batches_total"} <= of_tracks
    asked = 0
    for rule in ALERTS.values():
        for metric, selector in re.findall(r"\b(si_stream_\w+)\b(?!:)({[^}]*})?", rule["expr"]):
            if metric in of_tracks:
                assert selector == '{track="main"}', metric
                asked += 1
    assert asked == 3


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        (["severity=page"], "pages"),
        (["severity=ticket"], "tickets"),
        ([], "tickets"),
        (["severity=page", "track=main"], "pages"),
        (["severity=page", "track=shadow"], "nobody"),
        (["severity=ticket", "track=shadow"], "nobody"),
    ],
)
def test_an_alert_goes_to_whom_its_severity_says_and_a_shadows_to_nobody(
    labels: list[str], receiver: str, amtool: str
) -> None:
    command = [amtool, "config", "routes", "test", f"--config.file={ALERTMANAGER_FILE}", *labels]
    assert ran(*command).strip() == receiver


def test_the_alerts_that_are_inhibited_are_alerts() -> None:
    known = re.compile("|".join(ALERTS))
    for rule in read(ALERTMANAGER_FILE)["inhibit_rules"]:
        for matcher in [*rule["source_matchers"], *rule["target_matchers"]]:
            [pattern] = re.findall(r'alertname=~?"(.*)"', matcher)
            stem, _, choices = pattern.partition("(")
            names = [stem + choice for choice in choices.rstrip(")").split("|")]
            assert all(known.fullmatch(name) for name in names), names


def test_the_targets_are_where_the_settings_have_them() -> None:
    settings = Settings()
    learner, predictor = shipped()["prometheus.yml"]["scrape_configs"]
    assert (learner["job_name"], predictor["job_name"]) == (
        *("si-stream-learner", "si-stream-predictor"),
    )
    [at] = learner["static_configs"]
    assert at["targets"] == [f"{settings.learner.metrics_host}:{settings.learner.metrics_port}"]
    assert at["labels"] == {"model": settings.model.name}
    [at] = predictor["static_configs"]
    assert at["targets"] == [f"{settings.predictor.host}:{settings.predictor.port}"]
    assert at["labels"] == {"model": settings.model.name}


def test_retention_is_near_where_the_learner_warns_of_it() -> None:
    assert threshold("retention_margin_ratio") == checkpointing.NEAR_RATIO


def test_divided_rules_differ_in_durations_alone() -> None:
    whole = {**shipped(), "alertmanager.yml": read(ALERTMANAGER_FILE)}
    short = divided(whole, by=60, least_seconds=1)
    assert without_durations(short) == without_durations(whole)
    for long, divided_by_60 in zip(durations(whole), durations(short), strict=True):
        assert divided_by_60 == max(long / 60, 1)


DURATION = re.compile(r"(?<![\w-])(\d+)(ms|[smhd])\b")
THRESHOLD_IN_SECONDS = re.compile(r"vector\(([\d.]+)\)(?=\n *record: \w+:\w+_seconds)")


def without_durations(documents: object) -> str:
    text = yaml.safe_dump(documents, width=10_000)
    return THRESHOLD_IN_SECONDS.sub("vector(SECONDS)", DURATION.sub("DURATION", text))


def durations(documents: object) -> list[float]:
    units = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}
    text = yaml.safe_dump(documents, width=10_000)
    found = [float(number) * units[unit] for number, unit in DURATION.findall(text)]
    return found + [float(number) for number in THRESHOLD_IN_SECONDS.findall(text)]
