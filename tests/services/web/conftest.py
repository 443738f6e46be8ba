"""An authority for certificates, made once."""

from __future__ import annotations

import pytest

from tests.services.web.certificates import Authority


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))
