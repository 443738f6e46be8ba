"""Pictures of the dashboard: a replay of split MNIST, watched by Prometheus, and the rows' panels
with what their queries answer (`make dashboard-pictures`).

Invariant: what is drawn, where, of which query and in which colours is read from the dashboard's
JSON. It is drawn by matplotlib, so that it looks like Grafana, and is not it.
"""

from __future__ import annotations

import tempfile
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from PIL import Image

from deploy.grafana import reading
from deploy.grafana.answers import Answers
from deploy.grafana.painting import Painter
from deploy.grafana.part import BACKGROUND, STYLE, Part
from deploy.grafana.watched_replay import Watched, watched_replay
from si_stream.settings import Settings, load_settings

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
SCRAPE_SECONDS = 1
NAMES = {
    "1 · Healthy?": "healthy",
    "2 · Forgetting?": "forgetting",
    "3 · Why?": "why",
    "4 · Resources": "resources",
}
GRID_WIDTH, CELL_INCHES = 24, (0.62, 0.4)
TOP_INCHES = 0.45
DPI = 90


def settings_of(directory: Path) -> Settings:
    """Split MNIST with a shadow and a detector, its holdout measured often."""
    return load_settings(
        overrides={
            "preset": "split-mnist",
            "directory": directory / "model",
            "stream.broker": f"embedded:{directory}/broker.sqlite",
            "holdout.source": "messages",
            "holdout.evaluation_interval_steps": 10,
            "checkpoints.interval_seconds": 20,
            "detection.kind": "adwin",
            "learner.shadow": "none",
            "learner.metrics_port": 0,
            "predictor.port": 0,
        }
    )


def draw_rows(watched: Watched, directory: Path) -> list[Path]:
    """A picture of each row."""
    read = reading.dashboard()
    written = []
    painter = Painter(Answers(watched, SCRAPE_SECONDS), read["annotations"]["list"])
    with mpl.rc_context(STYLE):
        for title, panels in reading.rows(read).items():
            if title in NAMES:
                path = directory / f"dashboard-{NAMES[title]}.png"
                figure = row_figure(title, panels, painter)
                save(figure, path)
                written.append(path)
    return written


def row_figure(title: str, panels: list[dict[str, Any]], painter: Painter) -> Figure:
    top = min(panel["gridPos"]["y"] for panel in panels)
    height = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels) - top
    width_inches = GRID_WIDTH * CELL_INCHES[0]
    height_inches = height * CELL_INCHES[1] + TOP_INCHES
    figure = Figure(figsize=(width_inches, height_inches), facecolor=BACKGROUND)
    figure.text(0.006, 1 - 0.24 / height_inches, title, size=13, weight="bold", va="center")

    cell = (1 / GRID_WIDTH, CELL_INCHES[1] / height_inches)
    for panel in panels:
        grid = panel["gridPos"]
        bottom = (height - (grid["y"] - top) - grid["h"]) * cell[1]
        size = (grid["w"] * cell[0], grid["h"] * cell[1])
        painter.draw(panel, Part(figure, grid["x"] * cell[0], bottom, *size))
    return figure


def save(figure: Figure, path: Path) -> None:
    """With 256 colours, a third of the bytes; this method keeps those of thin lines apart."""
    drawn = BytesIO()
    figure.savefig(drawn, dpi=DPI)
    with Image.open(drawn) as picture:
        few = picture.convert("RGB").quantize(256, Image.Quantize.FASTOCTREE)
        few.save(path, optimize=True)


def main() -> None:
    steady = ("--rate", "250")  # fewer than a busy core learns, with a shadow
    told = ("split-mnist", *steady, "--no-end")
    silent = ("split-mnist", *steady, "--boundaries", "silent", "--no-holdout")
    with tempfile.TemporaryDirectory(prefix="si-stream-dashboard-") as place:
        settings = settings_of(Path(place))
        prometheus = Path(place) / "prometheus"
        with watched_replay(
            settings, prometheus, told, silent, scrape_seconds=SCRAPE_SECONDS
        ) as watched:
            while_it_learned = watched._replace(ended=watched.ended - 5 * SCRAPE_SECONDS)
            for path in draw_rows(while_it_learned, PICTURES):
                print(path)


if __name__ == "__main__":
    main()
