"""Where the demo takes place: a directory and ports that nobody else uses.

Invariant: nothing of a model that lies there already is touched.
"""

from __future__ import annotations

import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from si_stream.errors import SettingsError
from si_stream.settings import Settings


@dataclass(frozen=True)
class Place:
    path: Path
    temporary: bool

    @property
    def model(self) -> Path:
        return self.path / "model"

    @property
    def picture(self) -> Path:
        return self.path / "demo.png"


@contextmanager
def demo_directory(wanted: Path | None) -> Iterator[Place]:
    """A directory for the demo; of a temporary one the model, some 150 MB, is removed afterwards.

    Raises:
        SettingsError: the wanted one holds a demo's model already.
    """
    if wanted is None:
        place = Place(Path(tempfile.mkdtemp(prefix="si-stream-demo-")), temporary=True)
    else:
        place = Place(wanted, temporary=False)
        if place.model.exists():
            raise SettingsError(
                f"{place.model} is there already: give the demo a --directory without it, since "
                "it begins with a model that has learned nothing"
            )
        wanted.mkdir(parents=True, exist_ok=True)
    try:
        yield place
    finally:
        if place.temporary:
            shutil.rmtree(place.model, ignore_errors=True)
            with suppress(OSError):  # it holds the picture, if the demo came so far
                place.path.rmdir()


def on_free_ports(settings: Settings) -> Settings:
    """The same settings, with any free port in the place of one that is in use."""
    learner, predictor = settings.learner, settings.predictor
    metrics_port = _free(learner.metrics_host, learner.metrics_port)
    port = _free(predictor.host, predictor.port)
    return settings.model_copy(
        update={
            "learner": learner.model_copy(update={"metrics_port": metrics_port}),
            "predictor": predictor.model_copy(update={"port": port}),
        }
    )


def _free(host: str, port: int) -> int:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        socket.create_server((host, port), family=family).close()
    except OSError:
        return 0  # any; an address that is not of this machine is refused by the process itself
    return port
