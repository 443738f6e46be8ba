"""Opening: what comes of a record follows from it and the settings alone."""

from __future__ import annotations

import json

from si_stream.brokers.interface import Envelope, Record
from si_stream.errors import MessageError, Reason
from si_stream.evaluation.holdout import Holdouts
from si_stream.evaluation.options import HoldoutOptions
from si_stream.messages.kinds import Boundary, End, Message, Samples, SampleSchema
from si_stream.opening import Opened, Opener
from tests.streams import enveloped, samples

SCHEMA = SampleSchema((4,), "uint8", 3)


def opener(**holdout: object) -> Opener:
    options = HoldoutOptions.model_validate(holdout)
    return Opener(SCHEMA, Holdouts(options), max_message_bytes=20_000)


def opened(*messages: Message | Envelope, by: Opener | None = None) -> list[Opened]:
    records = [Record(0, n, 0.0, e.headers, e.value) for n, e in enumerate(enveloped(messages))]
    made = (by or opener()).open(records)
    assert [one.record for one in made] == records
    return made


def test_a_boundary_and_an_end_have_no_rows() -> None:
    [boundary, end] = opened(Boundary("1", next_task="b"), End("2"))
    assert (boundary.message, boundary.rows) == (Boundary("1", next_task="b"), None)
    assert (end.message, end.rows) == (End("2"), None)


def test_what_cannot_be_read_is_its_error_and_the_next_record_is_opened_all_the_same() -> None:
    broken, large, good = opened(
        Envelope({}, b"{"), Envelope({}, b" " * 20_001), samples(2, task="a")
    )
    assert isinstance(broken.message, MessageError)
    assert isinstance(large.message, MessageError)
    assert (broken.message.reason, large.message.reason) == (Reason.UNDECODABLE, Reason.TOO_LARGE)
    assert (broken.rows, large.rows) == (None, None)
    assert isinstance(good.message, Samples)


def test_each_good_row_is_trained_on_or_held_out_as_the_role_says() -> None:
    train, holdout = opened(
        samples(5, bad=(1, 4), task="a"), samples(5, bad=(0,), task="a", role="holdout")
    )
    assert train.rows is not None
    assert holdout.rows is not None
    assert [row for row, _ in train.rows.rejected] == [1, 4]
    assert ([*train.rows.train], [*train.rows.held]) == ([0, 2, 3], [])
    assert [row for row, _ in holdout.rows.rejected] == [0]
    assert ([*holdout.rows.train], [*holdout.rows.held]) == ([], [1, 2, 3, 4])


def test_of_a_diverted_share_each_row_is_in_one_of_three() -> None:
    by = opener(source="divert", share=0.5)
    [one] = opened(samples(40, bad=(0, 7), task="a"), by=by)
    assert one.rows is not None
    sorted_rows = [*(row for row, _ in one.rows.rejected), *one.rows.held, *one.rows.train]
    assert sorted(sorted_rows) == list(range(40))
    assert min(len(one.rows.held), len(one.rows.train)) > 5


def test_a_record_may_be_opened_again_and_nothing_differs() -> None:
    by = opener(source="divert", share=0.5)
    messages = samples(20, bad=(3,), task="a"), Envelope({}, json.dumps({"labels": []}).encode())
    first, second = (opened(*messages, by=by) for _ in range(2))
    assert [one.rows and one.rows.held for one in first] == [
        one.rows and one.rows.held for one in second
    ]
    assert [str(one.message) for one in first[1:]] == [str(one.message) for one in second[1:]]
    assert by.holdouts.sets == {}
