from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from simulators.datasets import data_directory, stratified_test_rows


def test_data_lies_in_the_directory_that_the_environment_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SI_STREAM_DATA", str(tmp_path))
    assert data_directory() == tmp_path


@pytest.mark.parametrize("unset", ["", None])
def test_data_lies_in_the_users_cache_by_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, unset: str | None
) -> None:
    if unset is None:
        monkeypatch.delenv("SI_STREAM_DATA", raising=False)
    else:
        monkeypatch.setenv("SI_STREAM_DATA", unset)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert data_directory() == tmp_path / "si-stream" / "data"


def test_each_class_gives_its_share_to_the_test_set() -> None:
    labels = np.repeat([0, 1, 2], [100, 50, 10])
    mask = stratified_test_rows(labels, share=0.2, seed=0)
    assert np.bincount(labels[mask]).tolist() == [20, 10, 2]


def test_a_class_is_never_only_in_the_test_set() -> None:
    labels = np.array([0, 1, 1, 2, 2, 2])
    mask = stratified_test_rows(labels, share=0.1, seed=0)
    assert np.bincount(labels[mask], minlength=3).tolist() == [0, 1, 1]
    assert np.bincount(labels[~mask], minlength=3).tolist() == [1, 1, 2]


def test_the_test_set_is_decided_by_the_seed() -> None:
    labels = np.repeat([0, 1], 100)
    first, again, other = (stratified_test_rows(labels, 0.1, seed) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
