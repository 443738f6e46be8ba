"""What others build on changes on purpose alone."""

from __future__ import annotations

import difflib

import pytest

from tests.surface.__main__ import file_of, text_of
from tests.surface.surfaces import SURFACES

ADVICE = (
    "the {} that others build on are not as they were. If that is meant, write them anew with "
    "`make surface`, and look at the diff; docs/checkpoints.md, Versions, says how files may change"
)

pytestmark = pytest.mark.usefixtures("bare_environment")


@pytest.mark.parametrize("name", SURFACES)
def test_the_surface_is_as_it_was_frozen(name: str) -> None:
    frozen, found = file_of(name).read_text("utf-8"), text_of(SURFACES[name]())
    lines = difflib.unified_diff(frozen.splitlines(), found.splitlines(), "frozen", "found", n=1)
    assert found == frozen, "\n".join([ADVICE.format(name), *lines])
