"""A question to the live predictor: one test image as raw bytes, and the command that sends it."""

from __future__ import annotations

import json
import math
import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import numpy as np
import numpy.typing as npt

from si_stream.errors import ProcessEnded
from simulators.scenarios import Task

READY_SECONDS = 30.0
LOOK_SECONDS = 0.1
CONTENT_TYPE = "application/octet-stream"


@dataclass(frozen=True)
class Question:
    """An image of a task's test set, which nothing has learned from."""

    task: str
    answer: str
    """The right one: what the image's label stands for."""
    image: npt.NDArray[np.uint8]
    file: Path
    path: str = "/predict"

    @classmethod
    def about(cls, task: Task, directory: Path) -> Question:
        """The first image of the task's test set, written into a file of the directory."""
        images, labels = task.test.take(np.array([0]))
        file = directory / "image.uint8"
        file.write_bytes(images.tobytes())
        path = f"/predict?task={quote(task.name, safe='')}"
        return cls(task.name, task.classes[labels[0]], images[0], file, path)

    def curl(self, address: str) -> str:
        """The command, on lines that a shell takes as one."""
        return (
            f"curl --data-binary @{shlex.quote(str(self.file))} \\\n"
            f"  -H 'Content-Type: {CONTENT_TYPE}' \\\n"
            f"  '{address}{self.path}'"
        )

    def ask(self, address: str) -> dict[str, Any]:
        """What the command gives."""
        answer: dict[str, Any] = json.loads(request(address, self.path, self.file.read_bytes()))
        return answer


def wait_for_version(address: str, version: tuple[int, int], check: Callable[[], None]) -> None:
    """Until the predictor serves that snapshot.

    Raises:
        ProcessEnded: it does not.
    """
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        check()
        try:
            served = json.loads(request(address, "/healthz/ready"))["version"]
            if (served["epoch"], served["step"]) >= version:
                return
        except (ProcessEnded, TypeError):
            pass
        time.sleep(LOOK_SECONDS)
    raise ProcessEnded(f"the predictor at {address} has not loaded snapshot {version}")
