"""`si-stream dead-letters`: lists, shows and sends again, on a real log and through the command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from services.command import main
from si_stream.brokers import open_broker
from si_stream.brokers.interface import Envelope
from si_stream.dead_letters import read_letters, stream_of_letters
from tests.streams import SMALL, STREAM, enveloped, samples


def learner_flags(directory: Path) -> list[str]:
    small = {
        "model.input_shape": "4",
        "model.outputs": "3",
        "model.batch_size": str(SMALL["batch_size"]),
        "model.network.hidden": "6",
        "learner.metrics_port": "0",
        "compute.device": "cpu",
    }
    sets = [word for key, value in small.items() for word in ("--set", f"{key}={value}")]
    return ["--directory", str(directory), *sets]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Of a model whose learner has met a message with one bad row."""
    from si_stream.messages.kinds import End

    with open_broker(f"embedded:{tmp_path / 'broker.sqlite'}") as broker:
        broker.create_stream(STREAM)
        broker.append(STREAM, 0, enveloped([samples(9, task="a", bad=[2]), End("end")]))
    assert main(["learner", *learner_flags(tmp_path), "--exit-at-end"]) == 0
    return tmp_path


def test_a_letter_is_listed_with_its_reason_and_place(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(["dead-letters", "list", "--directory", str(directory)]) == 0
    listed = capsys.readouterr().out
    assert "at 0/0 row 2  label_out_of_range" in listed
    assert (
        main(["dead-letters", "list", "--directory", str(directory), "--reason", "not_finite"]) == 0
    )
    none = capsys.readouterr()
    assert (none.out, "has no dead letters of reason not_finite" in none.err) == ("", True)


@pytest.mark.parametrize("command", [["list"], ["show", "s/0/7"], ["resubmit", "--all"]])
def test_where_there_is_no_log_or_no_such_stream_that_is_said_and_nothing_is_made(
    command: list[str], directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--directory", str(directory)]
    assert main(["dead-letters", *command, *where, "--stream", "typo"]) == 4
    assert "stream 'typo' has no dead letters" in capsys.readouterr().err
    typo = directory / "typo.sqlite"
    assert main(["dead-letters", *command, *where, "--broker", f"embedded:{typo}"]) == 4
    assert str(typo) in capsys.readouterr().err
    assert not typo.exists()


def test_a_reason_that_there_is_not_is_refused(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = ["dead-letters", "list", "--directory", str(directory)]
    assert main([*listed, "--reason", "hope"]) == 2
    assert "'undecodable'" in capsys.readouterr().err


def test_a_letter_sent_again_stands_at_the_end_of_the_stream(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(["dead-letters", "resubmit", "--all", "--directory", str(directory)]) == 0
    assert "1 of the messages" in capsys.readouterr().out
    with open_broker(f"embedded:{directory / 'broker.sqlite'}") as broker:
        assert broker.watermarks(STREAM, 0).high == 3


def resubmitted(
    directory: Path, capsys: pytest.CaptureFixture[str], *words: str, code: int = 0
) -> str:
    """What the command says."""
    capsys.readouterr()
    assert main(["dead-letters", "resubmit", *words, "--directory", str(directory)]) == code
    return capsys.readouterr().out


def test_what_was_sent_again_is_passed_over_until_it_is_asked_for(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = f"embedded:{directory / 'broker.sqlite'}"
    with open_broker(log) as broker:
        [(_, letter)] = read_letters(broker, STREAM)
    sent = resubmitted(directory, capsys, "--all")
    assert "passed over" not in sent
    for words in (["--all"], ["--all", "--reason", letter.reason], [letter.letter_id]):
        told = resubmitted(directory, capsys, *words)
        assert "0 of the messages" in told
        assert "1 were passed over" in told
    assert main(["dead-letters", "list", "--directory", str(directory)]) == 0
    assert "label_out_of_range  sent again 2" in capsys.readouterr().out
    # It is met again, and still bad: a letter of its own, which has not been sent.
    assert main(["learner", *learner_flags(directory), "--exit-at-end"]) == 0
    with open_broker(log) as broker:
        [_, (_, newer)] = read_letters(broker, STREAM)
    told = resubmitted(directory, capsys, "--all")
    assert f"sent again: {newer.letter_id}" in told
    assert "1 of the messages" in told
    assert "2 of the messages" in resubmitted(directory, capsys, "--all", "--again")
    assert "1 of the messages" in resubmitted(directory, capsys, letter.letter_id, "--again")
    with open_broker(log) as broker:
        assert broker.watermarks(STREAM, 0).high == 2 + 1 + 1 + 2 + 1


def test_what_was_sent_before_the_broker_took_no_more_is_not_sent_twice(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with open_broker(f"embedded:{directory / 'broker.sqlite'}") as broker:
        nowhere = Envelope({"dead_letter_id": "s/7/0", "dead_letter_partition": "7"}, b"{}")
        broker.append(stream_of_letters(STREAM), 0, [nowhere])
    assert "sent again: " in resubmitted(directory, capsys, "--all", code=4)
    assert "sent again: " not in resubmitted(directory, capsys, "--all", code=4)


def test_a_letter_is_shown_with_its_headers_and_its_message_can_be_piped_on(
    directory: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    with open_broker(f"embedded:{directory / 'broker.sqlite'}") as broker:
        [(_, letter)] = read_letters(broker, STREAM)
    capfdbinary.readouterr()
    assert main(["dead-letters", "show", letter.letter_id, "--directory", str(directory)]) == 0
    shown = capfdbinary.readouterr()
    assert shown.out == letter.message.value
    told = json.loads(shown.err)
    assert (told["partition"], told["offset"], told["row"]) == (0, 0, 2)
    assert (told["reason"], told["bytes"]) == ("label_out_of_range", len(shown.out))
    assert told["headers"]["content-type"] == letter.message.headers["content-type"]
    assert (told["left_out"], told["sent_again"]) == (None, None)
    assert main(["dead-letters", "resubmit", "--all", "--directory", str(directory)]) == 0
    capfdbinary.readouterr()
    assert main(["dead-letters", "show", letter.letter_id, "--directory", str(directory)]) == 0
    shown = capfdbinary.readouterr()
    assert shown.out == letter.message.value
    assert json.loads(shown.err)["sent_again"].startswith("2")


def test_an_unknown_letter_is_one_clear_line(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(["dead-letters", "show", "nobody/0/0", "--directory", str(directory)]) == 4
    assert "has the id nobody/0/0" in capsys.readouterr().err


def test_to_send_all_again_has_to_be_said(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["dead-letters", "resubmit", "--directory", str(directory)]) == 2
    assert "--all" in capsys.readouterr().err


def test_a_letter_without_its_message_says_where_that_is_and_is_not_sent(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = {"id": "s/0/7", "partition": "0", "offset": "7", "reason": "too_large"}
    headers = {f"dead_letter_{name}": text for name, text in told.items()}
    bare = Envelope({**headers, "dead_letter_left_out_bytes": "11000000"}, b"")
    with open_broker(f"embedded:{directory / 'broker.sqlite'}") as broker:
        broker.append(stream_of_letters(STREAM), 0, [bare])
    where = "(a payload of 11,000,000 bytes); it lies at offset 7 of partition 0"
    capsys.readouterr()
    assert main(["dead-letters", "list", "--directory", str(directory)]) == 0
    assert where in capsys.readouterr().out
    assert main(["dead-letters", "show", "s/0/7", "--directory", str(directory)]) == 0
    shown = capsys.readouterr()
    assert shown.out == ""
    assert where in json.loads(shown.err)["left_out"]
    for which in ("s/0/7", "--all"):
        assert main(["dead-letters", "resubmit", which, "--directory", str(directory)]) == 0
        told_of = capsys.readouterr().out
        assert "not sent: s/0/7: the message is not here" in told_of
        assert "1 were not sent" in told_of
    with open_broker(f"embedded:{directory / 'broker.sqlite'}") as broker:
        assert broker.watermarks(STREAM, 0).high == 3  # of --all, the other one
