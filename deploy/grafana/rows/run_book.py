"""Where to look when an alert fires: its panels on this dashboard, and its place in the run-book.

Invariant: every alert of Prometheus' rules has an entry, and every panel that one names is there.
"""

from __future__ import annotations

from pathlib import Path

import yaml
from grafana_foundation_sdk.builders import text
from grafana_foundation_sdk.models.text import TextMode

from deploy.grafana.panels import Panel

ALERTS = Path(__file__).parents[2] / "prometheus" / "alerts.yml"
LOOK_AT = {
    "SIStreamForgetting": ("Tasks now", "Accuracy over time", "Surrogate's share of the loss"),
    "SIStreamHoldoutOld": ("Tasks now", "Samples each second"),
    "SIStreamAlarmStorm": ("Detector's alarms", "Accuracy before training (prequential)"),
    "SIStreamLagRising": ("Samples each second", "Step time", "Read ahead"),
    "SIStreamPartitionEmpty": ("Partition awaited", "Lag by partition"),
    "SIStreamNoSample": ("Samples each second", "Lag by partition", "Faults"),
    "SIStreamDeadLetters": ("Faults", "Samples each second"),
    "SIStreamLossNotFinite": ("Faults", "Loss"),
    "SIStreamCheckpointOld": ("How old", "Faults", "Writing a checkpoint"),
    "SIStreamWritingFails": ("Faults", "Writing a checkpoint"),
    "SIStreamPredictorOld": ("Steps", "Epochs", "Snapshots loaded"),
    "SIStreamLearnerDown": ("Memory", "Faults", "Steps"),
    "SIStreamPredictorDown": ("Memory", "Requests each second"),
}


def panels() -> list[Panel]:
    panel = (
        text.Panel()
        .title("Which alert, where to look, what to do")
        .description("From deploy/prometheus/alerts.yml; the run-book lies beside the code.")
        .span(24)
        .height(12)
        .mode(TextMode.MARKDOWN)
        .content("\n".join(_lines()))
    )
    return [panel]


def _lines() -> list[str]:
    lines = ["| alert | severity | look at | what to do |", "|---|---|---|---|"]
    for group in yaml.safe_load(ALERTS.read_text())["groups"]:
        for rule in group["rules"]:
            name, severity = rule["alert"], rule["labels"]["severity"]
            where = ", ".join(LOOK_AT[name])
            lines.append(f"| {name} | {severity} | {where} | `{rule['annotations']['runbook']}` |")
    return lines
