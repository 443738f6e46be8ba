"""docs/deploy.md: its commands, files, ports and arguments are there."""

from __future__ import annotations

import re
import shlex

import pytest

from services.command import main
from tests.deploy.compose_file import SERVICES, published
from tests.deploy.serving_image import DEPENDENCIES, IMAGE, ROOT

PAGE = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
BLOCKS = "".join(re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
COMMANDS = [
    shlex.split(line, comments=True) for line in BLOCKS.replace("\\\n", " ").splitlines() if line
]

pytestmark = pytest.mark.usefixtures("bare_environment")


def flags(name: str) -> list[str]:
    """What is behind each of such flags of any command."""
    return [
        word.partition("=")[2] or after
        for command in COMMANDS
        for word, after in zip(command, [*command[1:], ""], strict=True)
        if word.partition("=")[0] == name
    ]


def test_each_command_of_ours_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    typed = [
        command[command.index("--") + 1 :] if "--" in command else command for command in COMMANDS
    ]
    ours = [command[1:] for command in typed if command[0].rpartition("/")[2] == "si-stream"]
    assert {words[0] for words in ours} >= {"serve", "status"}
    for words in ours:
        options = [word for word in words if word.startswith("--")]
        assert main([words[0], "--help"]) == 0
        shown = capsys.readouterr().out
        assert all(option in shown for option in options), words


def test_the_files_that_its_commands_name_are_there() -> None:
    files = [*flags("-f"), *flags("-k")]
    assert "deploy/compose.yaml" in files
    assert all((ROOT / file).exists() for file in files)
    patterns = [
        word for command in COMMANDS for word in command if word.startswith("deploy/systemd")
    ]
    assert patterns
    assert all([*ROOT.glob(pattern)] for pattern in patterns)


def test_its_services_and_build_arguments_are_those_of_the_files() -> None:
    known = {text.partition("=")[0] for text in DEPENDENCIES.texts("ARG") + IMAGE.texts("ARG")}
    assert {given.partition("=")[0] for given in flags("--build-arg")} <= known
    [table] = re.findall(r"\| build argument \|.*?\n\n", PAGE, re.DOTALL)
    assert set(re.findall(r"`([A-Z_]+)`", table)) == {*known, "BASE"}
    assert {name.partition("=")[0] for name in re.findall(r"--scale (\S+=\d)", PAGE)} <= set(
        SERVICES
    )


def test_its_addresses_are_published() -> None:
    ports = {port for name in SERVICES for outer in published(name).values() for port in outer}
    told = {int(port) for port in re.findall(r"127\.0\.0\.1:(\d+)", PAGE)}
    assert told
    assert told <= ports


def test_its_links_lead_to_files_and_headings() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", PAGE):
        file, _, heading = target.partition("#")
        path = ROOT / "docs" / (file or "deploy.md")
        assert path.exists(), target
        if heading:
            titles = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
            assert heading in anchors, target
