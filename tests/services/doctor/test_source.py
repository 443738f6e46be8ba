"""What a predictor follows, looked at before it does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from services.doctor.directory import look as look_at_directory
from services.doctor.source import look
from services.predictor.mirror.place import Place
from si_stream.settings import Settings
from tests.services.doctor.models import state_of
from tests.services.learner_api.serving import answers
from tests.services.other_programs import answering
from tests.services.predictor.serving import Teacher
from tests.streams import settings


def following(source: object, **options: Any) -> Settings:
    return settings(predictor={"source": str(source), **options})


def test_where_the_directory_itself_is_followed_there_is_nothing_to_look_at() -> None:
    assert list(look(settings())) == []


def test_a_directory_is_there_or_not(tmp_path: Path) -> None:
    assert state_of(look(following(tmp_path)), "source")[0] == "ok"
    assert state_of(look(following(tmp_path / "none")), "source")[0] == "warn"


def test_a_learner_says_what_it_offers(tmp_path: Path) -> None:
    teacher = Teacher(tmp_path)
    teacher.teach()
    with answers(tmp_path, read_token="open sesame") as there:
        kind, text = state_of(look(following(there)), "source")
        assert kind == "fail"
        assert "set predictor.source_token" in text
        let_in = following(there, source_token="open sesame")
        assert state_of(look(let_in), "source")[1].startswith(f"{there} answers, and has no")
    teacher.publish()
    with answers(tmp_path) as there:
        assert state_of(look(following(there)), "source")[1].startswith(
            f"{there} offers snapshot 1.3"
        )
    kind, text = state_of(look(following(there)), "source")
    assert kind == "warn"
    assert f"{there} cannot be reached" in text


@pytest.mark.parametrize("status", [200, 404])
def test_another_program_is_no_learner(status: int) -> None:
    with answering(status, {}) as port:
        kind, text = state_of(look(following(f"http://127.0.0.1:{port}")), "source")
    assert kind == "fail"
    assert "is no learner of this version" in text


def test_what_cannot_be_used_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    chosen = following("https://127.0.0.1:1", source_ca_file=tmp_path / "ca.pem")
    kind, text = state_of(look(chosen), "source")
    assert kind == "fail"
    assert "predictor.source_ca_file" in text


def test_a_copy_is_no_learners_directory(tmp_path: Path) -> None:
    Place(tmp_path, "http://learner:9101").close()
    kind, text = state_of(look_at_directory(settings(tmp_path)), "directory")
    assert kind == "ok"
    assert "copy of what http://learner:9101 publishes" in text
