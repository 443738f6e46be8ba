"""The tree as a whole: what a newcomer types works anywhere, and nothing names one machine."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.real_parts import missing

ROOT = Path(__file__).parents[1]
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:home|root|Users|work|workspace|builds)/\w")
INSTALLING = {"constraints.txt", "pyproject.toml", "Makefile", "Dockerfile", ".ci/run"}
SHARED_FOLDER = re.compile(r"\.\./shared")


def tracked_texts() -> dict[str, str]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        missing(f"not a git checkout: {listed.stderr.strip()}")
    texts = {}
    for name in listed.stdout.splitlines():
        path = ROOT / name
        if path.is_file() and path.suffix not in {".png", ".npz", ".safetensors", ".xz"}:
            texts[name] = path.read_text(encoding="utf-8")
    return texts


def test_no_file_names_a_path_of_one_machine() -> None:
    found = [
        f"{name}: {match.group()}"
        for name, text in tracked_texts().items()
        for match in MACHINE_PATH.finditer(text)
    ]
    assert found == []


def test_what_installs_names_no_host() -> None:
    texts = tracked_texts()
    assert texts.keys() >= INSTALLING
    assert [name for name in sorted(INSTALLING) if "://" in texts[name]] == []


def test_only_continuous_integration_knows_the_folder_beside_the_checkout() -> None:
    naming = [name for name, text in tracked_texts().items() if SHARED_FOLDER.search(text)]
    assert naming == [".ci/run"]


def test_the_constraints_pin_every_package_and_name_no_host() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert len(pins) > 50
    assert [pin for pin in pins if not re.fullmatch(r"[a-z0-9.-]+==[\w.!]+( ; .+)?", pin)] == []


def test_every_direct_dependency_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    wanted = {re.split(r"[^\w-]", entry)[0] for group in groups for entry in group}
    pinned = {
        line.partition("==")[0] for line in (ROOT / "constraints.txt").read_text().splitlines()
    }
    assert wanted - pinned == set()


@pytest.mark.parametrize(
    "target",
    [
        *("help", "setup", "demo", "kafka", "test", "check", "bench", "crash-test", "fuzz", "soak"),
        *("reproduce-silent", "reproduce-paper", "dashboards", "dashboard-pictures"),
        *("page-picture", "evening", "alert-test", "prometheus"),
    ],
)
def test_make_knows_its_targets(target: str) -> None:
    dry_run = subprocess.run(
        ["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert dry_run.returncode == 0, dry_run.stderr


def test_make_alone_lists_the_targets_and_installs_nothing() -> None:
    listed = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True)
    for target in ("setup", "demo", "test", "crash-test", "check", "bench"):
        assert re.search(rf"^make {target} ", listed.stdout, re.MULTILINE)


def test_make_refuses_an_interpreter_that_is_too_old(tmp_path: Path) -> None:
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    refused = subprocess.run(
        ["make", "setup", "PYTHON=false"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert refused.returncode != 0
    assert "SI Stream needs Python 3.11 or newer" in refused.stderr
    assert not (tmp_path / ".venv").exists()
