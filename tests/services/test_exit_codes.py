"""Exit codes of the command line."""

from __future__ import annotations

import pytest

from services.exit_codes import exit_code
from si_stream import errors

EXPECTED = {
    errors.SettingsError: 2,
    errors.DataError: 3,
    errors.BrokerError: 4,
    errors.StreamNotFound: 4,
    errors.PositionOutOfRange: 4,
    errors.CheckpointError: 5,
    errors.CorruptCheckpoint: 5,
    errors.NewerFormat: 5,
    errors.IdentityMismatch: 6,
    errors.Superseded: 5,
    errors.NotFinite: 9,
    errors.PredictionError: 7,
    errors.UnknownTask: 7,
    errors.ProcessEnded: 8,
    errors.SIStreamError: 1,
    OSError: 1,
}


@pytest.mark.parametrize(("error", "code"), EXPECTED.items())
def test_an_error_has_the_code_of_its_branch(error: type[Exception], code: int) -> None:
    assert exit_code(error("it")) == code


def test_every_branch_of_the_error_tree_but_messages_has_a_code_of_its_own() -> None:
    below = errors.SIStreamError.__subclasses__()
    branches = {one for one in below if one.__module__ == errors.__name__}  # others end no command
    codes = [exit_code(branch("it")) for branch in branches - {errors.MessageError}]
    assert len(codes) == len(set(codes))
    assert 1 not in codes
