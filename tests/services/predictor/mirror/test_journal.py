"""The copy of a learner's journal: what stands in it is what stands there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from services import journal
from services.journal import FORMER, NAME, Journal
from services.journal_reading import JournalReader
from services.predictor.mirror import journal as mirrored
from services.predictor.mirror.journal import JournalCopy
from services.predictor.mirror.learner import SourceLearner, SourceUnusable
from si_stream import events
from si_stream.settings import PredictorOptions
from tests.services.learner_api.serving import answers
from tests.services.predictor.mirror.scripted import scripted


@pytest.fixture
def there(tmp_path: Path) -> Path:
    (tmp_path / "learner").mkdir()
    return tmp_path / "learner"


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "copy").mkdir()
    return tmp_path / "copy"


@pytest.fixture
def learner(there: Path) -> Iterator[SourceLearner]:
    with (
        answers(there) as address,
        closing(SourceLearner(PredictorOptions(source=address))) as asked,
    ):
        yield asked


@pytest.fixture
def copy(here: Path, learner: SourceLearner) -> JournalCopy:
    copy = JournalCopy(here, learner)
    copy.begin()
    return copy


def tell(written: Journal, *steps: int) -> None:
    for step in steps:
        written.hear(events.LearnerStarted(1, step, 8 * step))


def look(copy: JournalCopy) -> None:
    """Until there is no more to be had."""
    while copy.look():
        pass


def same(here: Path, there: Path) -> bool:
    def contents(directory: Path) -> list[bytes]:
        files = [directory / name for name in (FORMER, NAME)]
        return [file.read_bytes() if file.exists() else b"" for file in files]

    return contents(here) == contents(there)


def test_it_grows_as_the_learners_does(there: Path, here: Path, copy: JournalCopy) -> None:
    look(copy)
    assert same(here, there)
    with closing(Journal(there)) as written:
        for step in range(3):
            tell(written, step)
            look(copy)
            look(copy)
            assert same(here, there)


def test_it_comes_in_pieces_of_whole_lines(
    there: Path, here: Path, copy: JournalCopy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirrored, "PIECE_BYTES", 250)
    with closing(Journal(there)) as written:
        tell(written, *range(20))
    assert copy.look()
    piece = (here / NAME).read_bytes()
    assert piece.endswith(b"\n")
    assert (there / NAME).read_bytes().startswith(piece)
    look(copy)
    assert same(here, there)


@pytest.mark.parametrize("meanwhile", [1, 4, 40])
def test_a_file_that_is_put_aside_there_is_put_aside_here(
    meanwhile: int, there: Path, here: Path, copy: JournalCopy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "LIMIT_BYTES", 400)
    reader = JournalReader(here)
    with closing(Journal(there)) as written:
        for step in range(0, 10 * meanwhile, meanwhile):
            tell(written, *range(step, step + meanwhile))
            look(copy)
            assert same(here, there)
            reader.read()


def test_of_a_predictor_that_starts_again_it_goes_on(
    there: Path, here: Path, learner: SourceLearner
) -> None:
    with closing(Journal(there)) as written:
        for step in range(3):
            tell(written, step)
            copy = JournalCopy(here, learner)
            copy.begin()
            received = learner.received_bytes
            look(copy)
            assert same(here, there)
            if step > 1:  # of what is there the last line is sent again, and no other
                assert learner.received_bytes - received < (there / NAME).stat().st_size
            with (here / NAME).open("ab") as file:
                file.write(b'{"event":"Lea')  # as a process that is killed leaves it


def test_a_line_that_is_being_written_is_waited_for(
    there: Path, here: Path, copy: JournalCopy
) -> None:
    with closing(Journal(there)) as written:
        tell(written, 1)
    whole = (there / NAME).read_bytes()
    (there / NAME).write_bytes(whole + b'{"event":"Lea')
    look(copy)
    assert (here / NAME).read_bytes() == whole
    with closing(Journal(there)) as written:  # which cuts it off
        tell(written, 2)
    look(copy)
    assert same(here, there)


def another_life(there: Path) -> None:
    (there / NAME).unlink()
    with closing(Journal(there)) as written:
        tell(written, 7)


def a_backup_from_before(there: Path) -> None:
    lines = (there / NAME).read_bytes().splitlines(keepends=True)
    (there / NAME).write_bytes(b"".join(lines[:2]))


def a_backup_that_has_gone_on(there: Path) -> None:
    a_backup_from_before(there)
    with closing(Journal(there)) as written:
        tell(written, *range(20, 30))


@pytest.mark.parametrize("change", [another_life, a_backup_from_before, a_backup_that_has_gone_on])
def test_where_the_learners_is_another_one_what_was_told_before_is_forgotten(
    change: object, there: Path, here: Path, copy: JournalCopy
) -> None:
    with closing(Journal(there)) as written:
        tell(written, *range(5))
    look(copy)
    assert callable(change)
    change(there)
    look(copy)
    assert same(here, there)


def test_a_line_without_an_end_is_refused(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirrored, "PIECE_BYTES", 1000)
    endless = {"Content_Range": "bytes 0-1000/99999"}
    with (
        scripted(lambda asked: asked.answer(206, b"x" * 1001, **endless)) as other,
        closing(SourceLearner(PredictorOptions(source=other.url))) as learner,
        pytest.raises(SourceUnusable, match="has a line of more than 1,000 bytes"),
    ):
        JournalCopy(here, learner).look()
    assert list(here.iterdir()) == []
