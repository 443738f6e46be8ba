"""Merging: one order of all partitions' messages, that only their positions decide."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from si_stream import events
from si_stream.brokers.interface import Envelope, Position, Reader, Record
from si_stream.brokers.memory import MemoryBroker
from si_stream.evaluation.holdout import Holdouts
from si_stream.evaluation.options import HoldoutOptions
from si_stream.merging import Cursor, Delivery, Merge
from si_stream.messages.kinds import Boundary, End, Message, Samples, SampleSchema
from si_stream.opening import Opener
from tests.streams import STREAM, Shuffled, enveloped, filled, memory_broker, samples

SCHEMA = SampleSchema((4,), "uint8", 3)
NOT_JSON = Envelope({}, b"{")

Parts = list[list[Message | Envelope]]


def parts(*told: str) -> Parts:
    """Partitions written down: ``a b |1`` are two messages of samples and boundary 1, ``!`` is
    no message, ``.1`` the end.
    """
    return [[part_of(word) for word in line.split()] for line in told]


def part_of(word: str) -> Message | Envelope:
    match word[0]:
        case "|":
            return Boundary(word[1:])
        case ".":
            return End(word[1:])
        case "!":
            return NOT_JSON
    return samples(1, ord(word), task=word)


class Desk:
    """A merge on a broker's stream, whose boundaries act as they are delivered."""

    def __init__(
        self,
        broker: MemoryBroker,
        cursor: Cursor | None = None,
        *,
        in_turn: bool = True,
        random: Random | None = None,
        seen: tuple[str, ...] = (),
    ) -> None:
        self.broker = broker
        self.seen = {*seen}
        self.heard: list[events.Event] = []
        self.deliveries: list[Delivery] = []
        self.cursor = cursor or Cursor(dict.fromkeys(range(broker.partitions(STREAM)), Position()))
        offsets = {number: position.offset for number, position in self.cursor.positions.items()}
        self.reader: Reader = broker.reader(STREAM, offsets)
        if random is not None:
            self.reader = Shuffled(self.reader, random)
        opener = Opener(SCHEMA, Holdouts(HoldoutOptions()), max_message_bytes=10_000)
        self.merge = Merge(
            *(self.reader, self.cursor, opener, self.seen.__contains__, self.heard.append),
            in_turn=in_turn,
        )

    def deliver(self) -> str:
        """What comes in one poll."""
        words = []
        for delivery in self.merge.poll(timeout_seconds=0):
            assert delivery.before == self.cursor
            self.cursor = delivery.behind
            self.deliveries.append(delivery)
            words.append(word_of(delivery))
            for opened in delivery.opened:
                if isinstance(opened.message, Boundary | End):
                    self.seen.add(opened.message.event_id)
        return " ".join(words)

    def deliver_all(self, patience: int = 2) -> str:
        """What comes until as many polls in a row have given nothing."""
        words = [self.deliver()]
        while any(words[-patience:]) or len(words) < patience:
            words.append(self.deliver())
        return " ".join(word for word in words if word)

    @property
    def awaited(self) -> list[int | None]:
        return [event.partition for event in self.heard if isinstance(event, events.Awaiting)]

    def append(self, partition: int, line: str) -> None:
        self.broker.append(STREAM, partition, enveloped(parts(line)[0]))


def word_of(delivery: Delivery) -> str:
    """As in `parts`; the boundaries of a delivery without a space between them."""
    word = ""
    for _, message, _ in delivery.opened:
        match message:
            case Samples():
                word += message.task or "?"
            case Boundary():
                word += f"|{message.event_id}"
            case End():
                word += f".{message.event_id}"
            case _:
                word += "!"
    return word


def order(*told: str, in_turn: bool = True) -> str:
    return Desk(memory_broker(*parts(*told)), in_turn=in_turn).deliver_all()


def test_at_rest_it_stands_behind_what_is_no_record(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = Cursor({0: Position(), 1: Position(0, 3), 2: Position()})
    desk = Desk(memory_broker(*parts("a c", "b", "")), begun)
    assert desk.merge.at_rest() == begun
    assert desk.deliver_all() == "a b"
    monkeypatch.setattr(desk.reader, "next_offset", lambda _: 5)
    # "c" waits for its turn, and from partition 2 nothing has come yet.
    assert desk.merge.at_rest() == Cursor({0: Position(1), 1: Position(5), 2: Position()}, turn=2)


def test_one_partition_is_delivered_as_it_is() -> None:
    assert order("a b |1 ! |1 c .2") == "a b |1 ! |1 c .2"


def test_partitions_take_strict_turns() -> None:
    assert order("a d g", "b e h", "c f i") == "a b c d e f g h i"


def test_a_message_that_cannot_be_read_takes_its_turn() -> None:
    assert order("a ! c", "b ! d") == "a b ! ! c d"


def test_a_boundary_waits_for_those_of_all_partitions_and_the_first_is_next() -> None:
    assert order("a c |1 e", "b |1 f") == "a b c |1|1 e f"
    assert order("b |1 e", "! |1 f", "c d |1 g") == "b ! c d |1|1|1 e f g"


def test_while_partitions_rest_the_others_go_on_in_turns() -> None:
    assert order("! |1", "a c e |1", "b d |1") == "! a b c d e |1|1|1"


def test_a_partition_that_begins_with_a_boundary_takes_part_behind_it() -> None:
    assert order("a |1 b |2 c |3", "|2 d |3") == "a |1 b |2 c |2 d |3|3"
    told = order("a |1 b |2 f", "|1 c d |2 g", "|2 e")
    assert told == "a |1 b |1 c d |2|2 f g |2 e"


def test_where_all_begin_with_a_boundary_it_is_one_of_all() -> None:
    assert order("|1 a", "|1 b") == order("|1 a", "|2 b").replace("2", "1") == "|1|1 a b"


def test_one_that_begins_with_a_boundary_blocks_no_sender_of_another() -> None:
    assert order("|1 |2 c |3", "a |2 |1 d |3") == "a |2 |1 |1 |2 c d |3|3"


def test_a_partition_that_rests_is_not_read_on() -> None:
    desk = Desk(memory_broker(*parts("! |1", "a")))
    assert desk.deliver() == "! a"
    desk.append(0, "b c")
    for word in "def":
        desk.append(1, word)
        assert desk.deliver() == word
    assert desk.reader.next_offset(0) == 2
    desk.append(1, "|1 g")
    assert desk.deliver() == "|1|1"
    assert desk.deliver() == "b g c"


@pytest.mark.parametrize("in_turn", [True, False])
def test_the_kth_boundaries_belong_together_so_two_senders_make_one(in_turn: bool) -> None:
    assert order("a |1 |2 c |3", "b |2 |1 d |3", in_turn=in_turn) == "a b |1|2 |2 c |1 d |3|3"


def test_a_boundary_that_was_sent_by_half_is_completed_by_sending_it_again() -> None:
    desk = Desk(memory_broker(*parts("a |1", "b", "c |1")))
    assert desk.deliver() == "a b c"
    assert desk.deliver() == ""
    for partition in range(3):
        desk.append(partition, f"|1 {'def'[partition]}")
    assert desk.deliver() == "|1|1|1"
    assert desk.deliver_all() == "|1 d e |1 f"


def test_a_boundary_whose_other_half_never_comes_is_completed_by_the_next_one() -> None:
    assert order("a |1 c |2 e", "b d |2 f") == "a b d |1|2 c f |2 e"


def test_a_boundary_that_acted_before_is_delivered_by_itself_and_takes_no_turn() -> None:
    desk = Desk(memory_broker(*parts("|1 a |2", "b |1 |2")), seen=("1",))
    assert desk.deliver_all() == "|1 a b |1 |2|2"


def test_the_end_is_a_boundary_of_all_partitions() -> None:
    assert order("a .1", "b c .1") == "a b c .1.1"


def test_an_empty_partition_is_waited_for_and_nothing_is_skipped() -> None:
    desk = Desk(memory_broker(*parts("a d", "", "c f")))
    assert desk.deliver() == "a"
    assert [desk.deliver() for _ in range(3)] == ["", "", ""]
    assert desk.merge.awaited == 1
    desk.append(1, "b")
    assert desk.deliver() == "b c d"
    desk.append(1, "e")
    assert desk.deliver() == "e f"


def test_the_partition_that_is_awaited_is_told_once_and_once_that_it_came() -> None:
    desk = Desk(memory_broker(*parts("a d", "", "c")))
    for _ in range(4):
        desk.deliver()
    assert desk.awaited == [1]
    desk.append(1, "b")
    desk.deliver()
    assert (desk.awaited, desk.merge.awaited) == ([1, None], None)
    for _ in range(3):
        assert desk.deliver() == ""
    assert desk.awaited == [1, None]  # nothing waits for partition 1 now


def test_a_partition_is_awaited_only_by_a_poll_in_which_nothing_came() -> None:
    desk = Desk(memory_broker(*parts("", "b")))
    desk.deliver()
    assert desk.awaited == []
    desk.deliver()
    desk.append(0, "a")
    desk.deliver()
    desk.append(1, "c")
    desk.deliver()
    assert desk.awaited == [0, None]
    assert desk.merge.awaited is None


@pytest.mark.parametrize("in_turn", [True, False])
def test_one_without_the_others_boundary_is_awaited(in_turn: bool) -> None:
    desk = Desk(memory_broker(*parts("! |1", "a |1", "b")), in_turn=in_turn)
    assert [desk.deliver(), desk.deliver()] == ["! a b", ""]
    assert desk.awaited == [2]
    desk.append(2, "c")
    desk.deliver()
    desk.deliver()
    desk.append(2, "|1")
    assert desk.deliver() == "|1|1|1"
    assert desk.awaited == [2, None, 2, None]


def test_an_idle_stream_awaits_no_partition() -> None:
    desk = Desk(memory_broker(*parts("a", "b")))
    assert [desk.deliver() for _ in range(3)] == ["a b", "", ""]
    assert desk.awaited == []


def test_by_arrival_no_partition_is_waited_for_but_at_a_boundary() -> None:
    desk = Desk(memory_broker(*parts("a d |1 f", "", "c e |1")), in_turn=False)
    assert desk.deliver() == "a c d e"
    assert desk.deliver() == ""
    assert desk.awaited == [1]
    desk.append(1, "b |1 g")
    assert desk.deliver() == "b |1|1|1 f g"


def test_a_place_within_a_message_is_its_row_and_the_turn_is_its_partitions() -> None:
    desk = Desk(memory_broker(*parts("a c", "b")))
    desk.deliver()
    a, b, c = desk.deliveries
    record = b.opened[0].record
    assert b.behind == Cursor({0: Position(1), 1: Position(1)}, turn=0)
    assert b.behind.within(record, 1) == Cursor({0: Position(1), 1: Position(0, 1)}, turn=1)
    assert c.behind == Cursor({0: Position(2), 1: Position(1)}, turn=1)
    assert a.before == Cursor({0: Position(), 1: Position()}, turn=0)


def test_a_message_that_the_cursor_lies_in_is_delivered_whole() -> None:
    broker = memory_broker(*parts("a c", "b d"))
    desk = Desk(broker, Cursor({0: Position(1), 1: Position(0, 1)}, turn=1))
    assert desk.deliver() == "b c d"


def test_gaps_in_the_offsets_are_stepped_over() -> None:
    class Gaps(Shuffled):
        """Every offset is twice what it is."""

        def poll(self, *arguments: object) -> list[Record]:
            records = self.reader.poll(*arguments)  # type: ignore[arg-type]
            return [Record(r.partition, 2 * r.offset, 0, r.headers, r.value) for r in records]

    desk = Desk(memory_broker(*parts("a c", "b |1")))
    desk.merge._reader = Gaps(desk.reader, Random(0))
    desk.deliver()
    assert [word_of(one) for one in desk.deliveries] == ["a", "b", "c"]
    assert desk.cursor == Cursor({0: Position(3), 1: Position(1)}, turn=1)


WORDS = st.lists(st.sampled_from(["a", "b", "c", "!", "|1", "|2", "|3", "|4"]), max_size=10).map(
    " ".join
)


@hypothesis_settings(max_examples=150, deadline=None)
@given(lines=st.tuples(WORDS, WORDS, WORDS), seed=st.integers(0, 2**32))
def test_neither_arrival_nor_a_restart_anywhere_changes_the_order(
    lines: tuple[str, str, str], seed: int
) -> None:
    random = Random(seed)
    broker = MemoryBroker()
    filled(broker, *parts(*lines))
    whole = Desk(broker)
    whole.deliver_all()
    places = [(one.before, word_of(one)) for one in whole.deliveries]

    shuffled = Desk(broker, random=random)
    shuffled.deliver_all(patience=30)  # polls that may give nothing although there is something
    assert [(one.before, word_of(one)) for one in shuffled.deliveries] == places

    if places:
        start = random.randrange(len(places))
        seen = {word for _, words in places[:start] for word in words.split("|")[1:]}
        resumed = Desk(broker, places[start][0], seen=(*seen,))
        resumed.deliver_all()
        assert [(one.before, word_of(one)) for one in resumed.deliveries] == places[start:]
