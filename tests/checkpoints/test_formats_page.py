"""docs/checkpoints.md names all that a checkpoint holds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from services.flags import AcceptChanges
from si_stream.checkpoints.copies import learning_settings
from si_stream.checkpoints.store import Manifest
from si_stream.learning.options import ConsolidatorOptions
from si_stream.settings.tree import LearnerOptions
from si_stream.state import Ledger, State
from tests.streams import DIGITS, digits_stream, learn, memory_broker, settings

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "checkpoints.md").read_text()


def row_of(member: str) -> str:
    [row] = [line for line in PAGE.splitlines() if line.startswith("|") and f"`{member}`" in line]
    return row


@pytest.mark.parametrize("member", [*Manifest.model_fields])
def test_each_member_of_the_manifest_has_its_row(member: str) -> None:
    assert row_of(member)


@pytest.mark.parametrize("member", [*Ledger.model_fields])
def test_each_member_of_the_ledger_has_its_row(member: str) -> None:
    assert row_of(f"ledger.{member}")


@pytest.fixture(scope="module")
def state() -> State:
    """With detection on, after three tasks."""
    chosen = settings(model=DIGITS, learner={"shadow": "none"}, detection={"kind": "adwin"})
    return learn(memory_broker(digits_stream()), chosen)[0]


def test_each_tensor_that_is_no_learners_is_named(state: State) -> None:
    names = {name for name in state.tensors() if not name.startswith(("main/", "shadow/"))}
    assert {name.partition("/")[0] for name in names} == {"portraits", "drift"}
    for name in names:
        kind, *_, last = name.split("/")
        last = "signal.NAME" if last.startswith("signal.") else last
        assert f"`{kind}/…`" in PAGE
        assert re.search(rf"`(\S*/)?{re.escape(last)}`", PAGE)


def test_what_may_be_changed_on_purpose_is_named_where_it_is_told_of(state: State) -> None:
    groups = set(learning_settings(state.settings))
    assert all(f"`{group}`" in row_of("learning") for group in groups)
    of_identity = {"kind", "fisher_samples"}
    changeable = groups - {"consolidator"} | set(ConsolidatorOptions.model_fields) - of_identity
    architecture = (DOCS / "architecture.md").read_text()
    texts = [
        LearnerOptions.model_fields["accept_changes"].description,
        AcceptChanges.__metadata__[0].help,  # type: ignore[attr-defined]
        next(one for one in architecture.split("\n\n") if "--accept-changes" in one),
    ]
    for text in texts:
        assert [name for name in changeable if name not in str(text)] == []
