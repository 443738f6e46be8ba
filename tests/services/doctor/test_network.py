"""Networks that cannot be made."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.doctor.network import full_size, look, size_of
from si_stream.learning.learner import Learner
from tests.services.doctor.models import state_of
from tests.streams import settings


@pytest.mark.parametrize("labels", ["fixed", "open"])
def test_its_size_is_that_of_the_network_that_learns(labels: str) -> None:
    chosen = settings(model={"labels": labels, "max_classes": 5})
    learner = Learner(chosen.model, chosen.optimiser, chosen.consolidator, chosen.compute)
    learner.open_heads(3)
    held = learner.trunk.size, *(head.size for head in learner.heads)
    size = size_of(chosen.model)
    assert sum(held) == size.with_heads(3)
    assert full_size(chosen) == size.with_heads(100)
    assert state_of(look(chosen), "network")[0] == "ok"


@pytest.mark.parametrize(
    ("network", "text"),
    [
        ({"kind": "cifar-cnn"}, ""),
        ({"kind": "module", "module": "not.there:trunk"}, "not.there"),
        ({"kind": "module", "module": "broken_trunk:made"}, "division by zero"),
    ],
)
def test_one_that_cannot_be_made_is_told_of(
    network: dict[str, str], text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_trunk.py").write_text("def made(): return 1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    kind, told = state_of(look(settings(model={"network": network})), "network")
    assert kind == "fail"
    assert text in told


def test_without_a_model_there_is_none_to_make() -> None:
    assert [*look(settings(model={"input_shape": ()}))] == []
