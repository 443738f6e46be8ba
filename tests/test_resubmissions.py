from __future__ import annotations

import uuid

import pytest

from si_stream.brokers import open_broker
from si_stream.brokers.interface import Envelope
from si_stream.dead_letters import read_letters, stream_of_letters
from si_stream.errors import StreamNotFound
from si_stream.resubmissions import mark, marked


def test_what_was_sent_again_is_known_to_whoever_opens_the_stream_later(url: str) -> None:
    stream = f"resubmissions-{uuid.uuid4().hex}"
    letters = stream_of_letters(stream)
    with open_broker(url) as broker:
        with pytest.raises(StreamNotFound, match=letters):
            marked(broker, stream)
        broker.create_stream(letters)
        offsets = broker.append(letters, 0, [Envelope({}, b"{")] * 3)
        assert marked(broker, stream) == {}
        mark(broker, stream, offsets[:2], 0.0)
        mark(broker, stream, offsets[1:2], 86_400.0)
        # Whatever others write there, it is no offset.
        broker.append(letters, 0, [Envelope({"dead_letter_resubmitted": "x " + "9" * 5000}, b"")])
    with open_broker(url) as broker:
        times = {offset: time[:10] for offset, time in marked(broker, stream).items()}
        assert times == {offsets[0]: "1970-01-01", offsets[1]: "1970-01-02"}
        assert [offset for offset, _ in read_letters(broker, stream)] == offsets
