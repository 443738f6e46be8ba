"""The Dockerfile's steps run in order in a directory, and what they build serves: make image-test.

Not tried: the base images, `apt-get`, tini, and the CPU build of PyTorch, which another index has.
It links and removes some 60,000 files, for which `make test` has no time.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.dockerfile import Build
from tests.deploy.serving_image import ROOT, serve_locked

pytestmark = pytest.mark.timeout(1200)


@pytest.fixture(scope="module")
def built() -> Iterator[Build]:
    """All stages, in a directory beside uv's cache, of which the files are links."""
    uv = ROOT / ".venv" / "bin" / "uv"
    asked = [str(uv) if uv.exists() else "uv", "cache", "dir"]
    cache = Path(subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip())
    with tempfile.TemporaryDirectory(prefix="si-stream-image-", dir=cache.parent) as place:
        build = Build(ROOT, Path(place), {"TORCH_BACKEND": "", "EXTRAS": ""})
        build.run()
        yield build


def test_its_steps_run_in_order_but_those_that_change_the_system(built: Build) -> None:
    assert [text.split()[0] for text in built.left_out] == ["apt-get", "useradd"]
    assert (built.place / "opt/si-stream/bin/si-stream").exists()


def test_the_image_has_the_packages_with_all_their_files_and_nothing_else_of_ours(
    built: Build,
) -> None:
    [site] = (built.place / "opt/si-stream/lib").glob("python3.*/site-packages")
    packages = ["services", "si_stream", "simulators"]
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *packages],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    there = {
        str(path.relative_to(site))
        for package in packages
        for path in (site / package).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert there == {path for path in tracked if (ROOT / path).exists()}
    assert not any((site / name).exists() for name in ("tests", "deploy", "benchmarks", "sklearn"))


@pytest.mark.usefixtures("mounts_of_its_own")
def test_what_they_built_learns_and_answers_on_a_read_only_root(
    built: Build, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    serve_locked(root, built.place / "data", built.environment)
