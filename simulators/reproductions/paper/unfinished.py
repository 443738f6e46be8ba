"""What there is of a run that has been stopped: its learner, and what had been measured.

A file in safetensors' format: the tensors of the learner's state and of importance, and all else
as JSON among its metadata. Invariant: the file is wholly there or not at all, and a run that goes
on from it leaves the record that it would have left without a stop, but for its seconds.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError, safe_open
from torch import Tensor

from si_stream.checkpoints import files
from si_stream.errors import DataError
from si_stream.evaluation.measures import Measures
from si_stream.state import Ledger, State
from simulators.reproductions.course import Resumed
from simulators.reproductions.paper.importance import Importance, ObservedIntelligence
from simulators.reproductions.paper.record import Row

SOFAR = "run"
STATE, OMEGA = "state/", "omega/"


class SoFar(BaseModel):
    """``made`` is by which settings and code, and on what: a run goes on by the same alone.

    Attributes:
        lives: of learners that have ended.
        samples: that these have learned.
    """

    model_config = ConfigDict(extra="forbid")

    made: dict[str, Any]
    seconds: float
    lives: int
    samples: int
    rows: list[Row]
    importance: Importance | None
    ledger: Ledger
    measures: dict[str, Measures]


class Unfinished(NamedTuple):
    so_far: SoFar
    learner: Resumed
    omegas: dict[str, list[Tensor]]

    @classmethod
    def read(cls, path: Path, made: Mapping[str, Any]) -> Self | None:
        """None where there is no file, or one that was made otherwise.

        Raises:
            DataError: it is damaged.
        """
        try:
            with safe_open(path, "pt") as file:
                so_far = SoFar.model_validate_json(file.metadata()[SOFAR])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except FileNotFoundError:
            return None
        except (SafetensorError, ValidationError, KeyError, TypeError) as error:
            raise DataError(f"{path} is damaged: delete it, and the run begins anew") from error
        if so_far.made != json.loads(json.dumps(made)):
            return None
        omegas: dict[str, list[Tensor]] = {}
        for name in sorted(one for one in tensors if one.startswith(OMEGA)):
            layer, _, _ = name.removeprefix(OMEGA).rpartition("/")
            omegas.setdefault(layer, []).append(tensors[name])
        state = {
            name.removeprefix(STATE): tensor
            for name, tensor in tensors.items()
            if name.startswith(STATE)
        }
        return cls(so_far, Resumed(so_far.ledger, so_far.measures, state), omegas)


def write(path: Path, so_far: SoFar, state: State, observer: ObservedIntelligence | None) -> None:
    """Put the file in its place in one go."""
    tensors = {f"{STATE}{name}": tensor for name, tensor in state.tensors().items()}
    for layer, omegas in (observer.omegas if observer else {}).items():
        tensors |= {f"{OMEGA}{layer}/{task:04d}": omega for task, omega in enumerate(omegas)}
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        apart = {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}
        files.write_tensors(temporary, apart, {SOFAR: so_far.model_dump_json()})
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
