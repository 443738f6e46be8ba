"""A finding: what a check has seen, whether that is well, and what to do where it is not."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

State = Literal["ok", "warn", "fail"]


class Finding(BaseModel):
    about: str
    """Area and subject, as in `disk: free space`."""
    state: State
    """warn: it works and will not stay so, or not as well as it might; fail: it does not work."""
    seen: str
    advice: str = ""
    """What to do; empty where it is well."""


def ok(about: str, seen: str) -> Finding:
    return Finding(about=about, state="ok", seen=seen)


def warn(about: str, seen: str, advice: str) -> Finding:
    return Finding(about=about, state="warn", seen=seen, advice=advice)


def fail(about: str, seen: str, advice: str) -> Finding:
    return Finding(about=about, state="fail", seen=seen, advice=advice)


def refused(about: str, error: Exception, advice: str = "mend that, and run this again") -> Finding:
    """Of an error of ours, whose text says what is wrong and, behind a semicolon, what to do.

    >>> refused("broker: reach", ValueError("nobody answers; is it running?")).advice
    'is it running?'
    """
    seen, semicolon, what_to_do = " ".join(str(error).split()).rpartition("; ")
    return fail(about, seen, what_to_do) if semicolon else fail(about, what_to_do, advice)
