"""The models of the protocol: the model by its name, whose task a request may name, and each task
as `name/task`; the one version of each is the snapshot that is being served.

Invariant: what is found by a name and a version is answered by exactly that snapshot.
"""

from __future__ import annotations

from typing import NamedTuple

from services.predictor.served import NAMED_TASKS, Served
from si_stream.checkpoints.snapshots import ServedTask
from si_stream.errors import UnknownModel

PREFIX = "/v2/models/"
INFER = "/infer"
VERSIONS = "/versions/"


class Model(NamedTuple):
    name: str
    task: ServedTask | None  # None: it is told by the request, or chosen


def find(served: Served, address: str) -> Model:
    """The model of a name, or of `name/versions/version`; task names may hold slashes.

    Raises:
        UnknownModel: there is none of the name, or it is not served in that version.
    """
    model = _named(served, address)
    if model is None:
        name, found, version = address.rpartition(VERSIONS)
        model = _named(served, name) if found else None
        if model is None:
            raise UnknownModel(
                f"model {name if found else address!a:.200} is not known; the models known to "
                f"snapshot {served.version}: {_names(served)}"
            )
        if version != str(served.version):
            raise UnknownModel(
                f"version {version!a:.100} of {name!a:.200} is not served; the one that is, "
                f"the newest snapshot: {served.version}"
            )
    return model


def _named(served: Served, name: str) -> Model | None:
    if name == served.model.name:
        return Model(name, None)
    task = served.tasks.get(name.removeprefix(f"{served.model.name}/"))
    return Model(name, task) if task and name != task.name else None


def _names(served: Served) -> str:
    base = served.model.name
    names = [base, *(f"{base}/{task}" for task in list(served.tasks)[:NAMED_TASKS])]
    more = len(served.tasks) + 1 - len(names)
    return ", ".join(names) + (f" and {more} more (GET /tasks)" if more else "")
