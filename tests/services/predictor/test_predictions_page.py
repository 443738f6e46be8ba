"""The commands of docs/predictions.md, against a predictor."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.predictor.serving import Running, Teacher, model_options, serving

PAGE = Path(__file__).parents[3] / "docs" / "predictions.md"
BLOCKS = dict(
    re.findall(r"^```(sh|python)\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
)


@pytest.fixture(scope="module")
def of_images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    teacher = Teacher(tmp_path_factory.mktemp("images"), model_options(input_shape=(28, 28)))
    teacher.teach()
    teacher.publish()
    with serving(teacher.store.epochs.parent) as running:
        running.wait_until_ready()
        yield running


def ran(command: list[str], language: str, predictor: Running) -> str:
    place = predictor.url.removeprefix("http://")
    text = BLOCKS[language].replace("127.0.0.1:8080", place)
    finished = subprocess.run([*command, "-c", text], capture_output=True, text=True, check=True)
    return finished.stdout


def test_its_python_works(of_images: Running) -> None:
    printed = ran([sys.executable, "-W", "error"], "python", of_images)
    labels, probabilities = re.findall(r"^\[([01] [01])\] (\[\[.*)", printed, re.DOTALL)[0]
    assert len(labels.split()) == 2
    assert len(re.findall(r"0\.\d+", probabilities)) == 4


def test_its_shell_commands_work(of_images: Running) -> None:
    printed = ran(["bash", "-e", "-o", "pipefail"], "sh", of_images)
    metadata, _, response = printed.partition("}]}{")
    assert json.loads(metadata + "}]}")["versions"] == ["1.3"]
    assert json.loads("{" + response)["model_name"] == "si-stream"
