"""The predictor's document is true: whatever it allows is answered as it says, and what it does not
allow is refused; never by a fault."""

from __future__ import annotations

from tests.services.predictor.serving import Teacher, serving
from tests.services.web.conformance import assert_conforms

TOKEN = "a-token-of-the-tests"


def test_every_answer_is_as_documented(teacher: Teacher) -> None:
    options = {"max_body_bytes": 20_000, "max_inputs": 50, "token": TOKEN}
    with serving(teacher.store.epochs.parent, **options) as running:
        running.wait_until_ready()
        endless = ["/events"]
        asked = assert_conforms(running.url, {"Authorization": f"Bearer {TOKEN}"}, endless)
    assert asked >= {"POST /predict", "POST /v2/models/{model}/infer", "GET /tasks", "GET /source"}
