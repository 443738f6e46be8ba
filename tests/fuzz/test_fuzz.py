"""A small version of `make fuzz`."""

from __future__ import annotations

from pathlib import Path

from tests.fuzz.learning import attack


def test_hostile_messages_become_one_letter_each_and_their_neighbours_are_trained_once(
    tmp_path: Path,
) -> None:
    result = attack(tmp_path, hostile=2000, seed=1)
    assert result.hostile_messages == 2000
    assert result.dead_letters >= result.hostile_messages
    assert len(result.dead_letters_by_reason) == 7
