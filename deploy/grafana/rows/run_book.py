"""What to do when an alert fires: the run-book, where it is needed, and the panels to look at.

Invariant: the text is that of docs/operations.md, and each of its alerts has panels to look at.
"""

from __future__ import annotations

import re
from pathlib import Path

from grafana_foundation_sdk.builders import text
from grafana_foundation_sdk.models.text import TextMode

from deploy.grafana.panels import Panel

RUN_BOOK = Path(__file__).parents[3] / "docs" / "operations.md"
SECTION = re.compile(r"^### (SIStream\w+)\n\n(.*?)(?=^##)", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[([^]]+)\]\([^)]+\)")
LOOK_AT = {
    "SIStreamForgetting": ("Tasks now", "Accuracy over time", "Surrogate's share of the loss"),
    "SIStreamHoldoutOld": ("Tasks now", "Samples each second"),
    "SIStreamAlarmStorm": ("Detector's alarms", "Accuracy before training (prequential)"),
    "SIStreamLagRising": ("Samples each second", "Step time", "Read ahead"),
    "SIStreamRetentionNear": ("Retention margin", "Lag by partition"),
    "SIStreamPartitionEmpty": ("Partition awaited", "Lag by partition"),
    "SIStreamNoSample": ("Samples each second", "Broker away", "Lag by partition"),
    "SIStreamDeadLetters": ("Faults", "Samples each second"),
    "SIStreamLossNotFinite": ("Faults", "Loss"),
    "SIStreamCheckpointOld": ("How old", "Faults", "Writing a checkpoint"),
    "SIStreamWritingFails": ("Faults", "Writing a checkpoint"),
    "SIStreamPredictorOld": ("Steps", "Epochs", "Snapshots loaded"),
    "SIStreamSourceAway": ("Steps", "Epochs", "Snapshots loaded"),
    "SIStreamPredictorOverloaded": ("Requests turned away", "Requests waiting", "CPU"),
    "SIStreamLearnerDown": ("Memory", "Faults", "Steps"),
    "SIStreamPredictorDown": ("Memory", "Requests each second"),
}


def panels() -> list[Panel]:
    panel = (
        text.Panel()
        .title("What to do about an alert")
        .description("From docs/operations.md, which says more.")
        .span(24)
        .height(24)
        .mode(TextMode.MARKDOWN)
        .content("\n".join(_sections()))
    )
    return [panel]


def _sections() -> list[str]:
    """Without links, which would lead nowhere from here."""
    found = SECTION.findall(RUN_BOOK.read_text(encoding="utf-8"))
    return [
        LINK.sub(r"\1", f"### {alert}\n\nPanels: {', '.join(LOOK_AT[alert])}.\n\n{advice}")
        for alert, advice in found
    ]
