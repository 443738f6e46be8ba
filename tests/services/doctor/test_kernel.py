"""The update's kernel, and where what is compiled of it is kept."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from services.doctor.kernel import ABOUT, cache_directory, look, of_cache
from si_stream.compiling import compiled
from si_stream.learning.kernels.fused import _adam
from tests.services.doctor.models import state_of
from tests.services.test_checkpointing import read_only
from tests.streams import settings


def test_the_kernel_of_the_settings_is_looked_at() -> None:
    assert "numba" in state_of(look(settings()), ABOUT)[1]
    plain = settings(compute={"device": "cpu", "kernel": "plain"})
    assert state_of(look(plain), ABOUT) == ("ok", "plain on cpu → ")


def test_a_compiled_one_needs_a_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    wanting = settings(compute={"device": "cpu", "kernel": "compiled"})
    monkeypatch.setenv("PATH", str(tmp_path))
    kind, text = state_of(look(wanting), ABOUT)
    assert kind == "fail"
    assert "there is no g++ → install g++" in text
    (tmp_path / "g++").touch(mode=0o755)
    assert state_of(look(wanting), ABOUT)[0] == "ok"


def test_where_nothing_can_be_kept_each_start_compiles_anew() -> None:
    namespace: dict[str, Any] = {}
    exec("def double(x):\n    return 2 * x", namespace)  # has no file, so no place for a cache
    directory = cache_directory(compiled(namespace["double"]))
    assert directory is None
    finding = of_cache(directory)
    assert finding.state == "warn"
    assert "each start compiles it anew" in finding.seen
    assert "NUMBA_CACHE_DIR" in finding.advice
    assert cache_directory(_adam) is not None


def test_a_directory_for_it_is_looked_into_and_not_made(tmp_path: Path) -> None:
    later = of_cache(tmp_path / "cache")
    assert later.state == "ok"
    assert "the first start compiles it" in later.seen
    assert not (tmp_path / "cache").exists()
    (tmp_path / "fused._adam-46.py312.nbi").touch()
    assert of_cache(tmp_path).seen == f"numba, compiled, in {tmp_path}"


def test_a_directory_that_is_read_only_is_told_of() -> None:
    with TemporaryDirectory() as name, read_only(Path(name)):
        assert of_cache(Path(name) / "cache").state == "warn"
