"""The Dockerfile: what it says fits the program, which serves where nothing but /data and /tmp can
be written. tests/deploy/image.py runs its steps.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from services.command import main
from si_stream.settings import Settings, load_settings
from tests.deploy.container import USER, locked, run
from tests.deploy.dockerfile import is_sent
from tests.deploy.serving_image import (
    DEPENDENCIES,
    IMAGE,
    PACKAGE,
    ROOT,
    health_check,
    only,
    serve_locked,
)

IGNORE = (ROOT / ".dockerignore").read_text().splitlines()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "root"
    path.mkdir()
    return path


@pytest.mark.usefixtures("mounts_of_its_own")
def test_it_learns_and_answers_where_nothing_but_data_and_tmp_can_be_written(
    root: Path, tmp_path: Path
) -> None:
    """With the packages of this environment; tests/deploy/image.py has those of the image."""
    data = tmp_path / "data"
    data.mkdir()
    variables = IMAGE.environment({}) | {"PATH": f"{Path(sys.executable).parent}:{os.defpath}"}
    serve_locked(root, data, variables | {"SI_STREAM_DIRECTORY": str(data)})


@pytest.mark.usefixtures("mounts_of_its_own")
def test_a_locked_process_can_write_nothing_else_and_is_nobody(root: Path, tmp_path: Path) -> None:
    """The test above would tell nothing without this one."""
    data = tmp_path / "data"
    data.mkdir()
    os.chown(data, int(USER), int(USER))
    script = f"id -u; touch /tmp/a {data}/a && touch {ROOT}/b /usr/b"
    done = run(locked(root, data, ["sh", "-c", script], {"PATH": os.environ["PATH"]}))
    assert done.returncode != 0
    assert done.stdout == f"{USER}\n"
    assert done.stderr.count("Read-only file system") == 2


def test_the_health_check_is_a_command_of_ours_without_a_shell(
    capsys: pytest.CaptureFixture[str],
) -> None:
    program, *arguments = health_check()
    assert program == "si-stream"
    assert main([*arguments, "--help"]) == 0
    assert "Usage: si-stream health" in capsys.readouterr().out


@pytest.mark.usefixtures("bare_environment")
def test_its_variables_are_settings_and_its_ports_the_defaults(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in IMAGE.environment({}).items():
        monkeypatch.setenv(name, value)
    settings, defaults = load_settings(), Settings()
    assert settings.directory == Path("/data") == Path(only(IMAGE, "VOLUME"))
    assert settings.learner.metrics_host == settings.predictor.host == "0.0.0.0"
    exposed = {int(port) for port in only(IMAGE, "EXPOSE").split()}
    assert exposed == {defaults.learner.metrics_port, defaults.predictor.port}


def test_it_runs_as_a_user_without_rights_by_number() -> None:
    assert only(IMAGE, "USER") == f"{USER}:{USER}"
    [made] = [text for text in IMAGE.texts("RUN") if "useradd" in text]
    assert f"--uid {USER} " in made
    words = [one.word for one in IMAGE.instructions]
    assert "RUN" not in words[words.index("USER") :]
    assert only(IMAGE, "STOPSIGNAL") == "SIGTERM"


def test_its_labels_name_the_version_and_the_revision() -> None:
    labels = dict(pair.split("=", 1) for pair in shlex.split(only(IMAGE, "LABEL")))
    prefix = "org.opencontainers.image."
    assert labels.pop(f"{prefix}description") == PROJECT["description"]
    assert labels.pop(f"{prefix}licenses") == PROJECT["license"]
    assert labels == {
        f"{prefix}title": "SI Stream",
        f"{prefix}version": "$VERSION",
        f"{prefix}revision": "$REVISION",
    }
    arguments = dict(text.split("=", 1) for text in IMAGE.texts("ARG"))
    assert arguments["VERSION"] == PROJECT["version"]


def test_a_change_of_ours_leaves_the_layer_of_the_dependencies_as_it_is() -> None:
    sources = [text.split()[:-1] for text in DEPENDENCIES.texts("COPY")]
    assert sources == [["constraints.txt"], ["pyproject.toml"]]
    assert PACKAGE.base == DEPENDENCIES.name
    copied, installed = IMAGE.texts("COPY")[0], IMAGE.texts("RUN")[-1]
    assert copied.startswith(f"--from={DEPENDENCIES.name} ")
    assert f"from={PACKAGE.name}," in installed


def test_only_what_is_built_from_is_sent_to_the_builder() -> None:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    sent = {path.split("/")[0] for path in listed.stdout.splitlines() if is_sent(path, IGNORE)}
    copied = {
        source
        for stage in (DEPENDENCIES, PACKAGE)
        for text in stage.texts("COPY")
        for source in text.split()[:-1]
    }
    assert sent == copied
    for kept_back in (".git/config", ".venv/bin/python", "services/web/__pycache__/a.pyc", "a.pem"):
        assert not is_sent(kept_back, IGNORE)
