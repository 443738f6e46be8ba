"""What the doctor says of certificates: whether they work, and for how long."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from services.doctor.certificates import look
from si_stream.settings import Settings, load_settings
from tests.services.web.certificates import Authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def with_certificate(certificate: Path, key: Path) -> Settings:
    files = {"tls_certificate_file": certificate, "tls_key_file": key}
    return load_settings(overrides={f"predictor.{name}": path for name, path in files.items()})


def test_where_none_is_named_nothing_is_said() -> None:
    assert [*look(load_settings())] == []


def test_one_that_works_is_told_with_its_end(authority: Authority) -> None:
    [found] = look(with_certificate(*authority.certificate("one", ends="20990101000000Z")))
    assert (found.about, found.state) == ("certificates: predictor", "ok")
    assert found.seen.endswith("one.pem works, until 2099-01-01")


def test_one_that_ends_soon_is_warned_of(authority: Authority) -> None:
    tomorrow = time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + 86400))
    [found] = look(with_certificate(*authority.certificate("short", ends=tomorrow)))
    assert (found.state, found.advice) == ("warn", "renew it on disk; no restart is needed")


def test_one_that_does_not_work_is_a_failure_that_names_it(
    authority: Authority, tmp_path: Path
) -> None:
    [found] = look(with_certificate(authority.file, tmp_path / "none"))
    assert found.state == "fail"
    assert "none cannot be read" in found.seen
