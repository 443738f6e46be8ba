"""The learner's document is true: whatever it allows is answered as it says, and what it does not
allow is refused; never by a fault."""

from __future__ import annotations

from pathlib import Path

from tests.services.learner_api.serving import answers
from tests.services.test_learner_host import MESSAGES
from tests.services.test_learner_host import run as learn_all
from tests.services.web.conformance import assert_conforms
from tests.streams import memory_broker, settings

TOKEN = "a-token-of-the-tests"


def test_every_answer_is_as_documented(tmp_path: Path) -> None:
    broker = memory_broker(MESSAGES)
    learn_all(broker, settings(tmp_path))
    reading = "another-token-of-the-tests"
    with answers(tmp_path, broker, tasks=("a",), token=TOKEN, read_token=reading) as address:
        asked = assert_conforms(address, {"Authorization": f"Bearer {TOKEN}"})
    assert asked >= {"POST /boundaries", "GET /snapshots/newest", "GET /journal", "GET /health"}
