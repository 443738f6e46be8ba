"""A question to the live predictor: one test image as raw bytes, and the command that sends it."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import numpy as np
import numpy.typing as npt

from services.asking import NO_KEY, Key
from services.processes import Child
from si_stream.errors import PredictionError
from si_stream.settings import PredictorOptions
from simulators.scenarios import Task

READY_SECONDS = 30.0
LOOK_SECONDS = 0.1
CONTENT_TYPE = "application/octet-stream"


@dataclass(frozen=True)
class Question:
    """An image of a task's test set, which nothing has learned from.

    Args:
        task: its name.
        answer: the right one, a class of the task.
        image: ``[height, width]``, grey.
        file: that holds the image's bytes.
        path: of the URL to send it to.
    """

    task: str
    answer: str
    image: npt.NDArray[np.uint8]
    file: Path
    path: str

    @classmethod
    def about(cls, task: Task, directory: Path) -> Question:
        """The first image of the task's test set, written into a file of the directory."""
        images, labels = task.test.take(np.array([0]))
        file = directory / "image.uint8"
        file.write_bytes(images.tobytes())
        path = f"/predict?task={quote(task.name, safe='')}"
        return cls(task.name, task.classes[labels[0]], images[0], file, path)

    def curl(self, address: str, options: PredictorOptions) -> str:
        """The command, on lines that a shell takes as one; a token is not shown."""
        certificate = options.tls_certificate_file
        lines = [
            f"curl --data-binary @{shlex.quote(str(self.file))}",
            f"-H 'Content-Type: {CONTENT_TYPE}'",
            *(['-H "Authorization: Bearer $TOKEN"'] if options.token or options.token_file else []),
            *([f"--cacert {shlex.quote(str(certificate))}"] if certificate else []),
            f"'{address}{self.path}'",
        ]
        return " \\\n  ".join(lines)

    def ask(self, address: str, key: Key) -> dict[str, Any]:
        """What the command gives.

        Raises:
            PredictionError: it is a problem, and no prediction.
        """
        status, body = request(address, self.path, self.file.read_bytes(), key=key)
        if status != 200:
            raise PredictionError(f"{address}{self.path} answered {status}: {body.decode()}")
        answer: dict[str, Any] = json.loads(body)
        return answer


def wait_until_served(
    predictor: Child, version: tuple[int, int], key: Key, check: Callable[[], None]
) -> str:
    """The predictor's address, once it answers from that snapshot or a newer one.

    Raises:
        PredictionError: it takes too long.
    """
    deadline = time.monotonic() + READY_SECONDS
    answer = "nothing yet"
    while time.monotonic() < deadline:
        check()
        if (address := predictor.address) is not None:
            status, body = request(address, "/healthz/ready", key=key)
            answer = body.decode()
            if status == 200 and served_version(answer) >= version:
                return address
        time.sleep(LOOK_SECONDS)
    raise PredictionError(
        f"the predictor does not serve snapshot {version} after {READY_SECONDS:g} s: {answer}"
    )


def served_version(answer: str) -> tuple[int, int]:
    version = json.loads(answer)["version"]
    return version["epoch"], version["step"]


def request(
    address: str, path: str, body: bytes | None = None, *, key: Key = NO_KEY
) -> tuple[int, bytes]:
    """The status and the body of an answer; no proxy stands between processes of one machine."""
    scheme, netloc, *_ = urlsplit(address)
    connection: HTTPConnection = (
        HTTPSConnection(netloc, timeout=READY_SECONDS, context=key.context)
        if scheme == "https"
        else HTTPConnection(netloc, timeout=READY_SECONDS)
    )
    try:
        method = "GET" if body is None else "POST"
        headers = key.headers() | ({"Content-Type": CONTENT_TYPE} if body else {})
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()
