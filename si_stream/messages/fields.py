"""The fields that every codec reads and checks alike: task, role, classes, event id.

Invariant: a name that got past `check_name` can stand in a log line, a metric's label or
a table as it is. It may hold any printable character, ``/`` too: whoever makes a file name
or a URL of it quotes it.
"""

from __future__ import annotations

import reprlib

from si_stream.errors import MessageError, Reason
from si_stream.messages.kinds import Role

MAX_NAME_CHARACTERS = 128


def check_name(what: str, name: object) -> str:
    """The name, where it is one; ``what`` says in the error which it is.

    Raises:
        MessageError: ``undecodable``: not text, empty, too long, or not printable.
    """
    if not isinstance(name, str):
        problem = f"must be text, not {type(name).__name__}"
    elif not name:
        problem = "must not be empty"
    elif len(name) > MAX_NAME_CHARACTERS:
        problem = f"has {len(name)} characters, the limit is {MAX_NAME_CHARACTERS}"
    elif not name.isprintable():
        problem = f"holds a character that cannot be printed: {name!a}"
    else:
        return name
    raise MessageError(Reason.UNDECODABLE, f"{what} {problem}")


def check_task(what: str, task: object) -> str | None:
    return None if task is None else check_name(what, task)


def check_classes(classes: object) -> tuple[str, ...] | None:
    if classes is None:
        return None
    if not isinstance(classes, (list, tuple)):
        raise MessageError(
            Reason.UNDECODABLE, f"classes must be a list of names, not {type(classes).__name__}"
        )
    return tuple(check_name(f"class {label}", name) for label, name in enumerate(classes))


def check_role(role: object) -> Role:
    if role == "train":
        return "train"
    if role == "holdout":
        return "holdout"
    raise MessageError(
        Reason.UNDECODABLE, f"role must be train or holdout, not {reprlib.repr(role)}"
    )
