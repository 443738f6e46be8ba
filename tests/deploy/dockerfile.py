"""A Dockerfile's steps, read and run in order in one directory, without an engine for containers.

Invariant: each RUN is the Dockerfile's own line; only its paths are others, and what it mounts lies
there already. What changes the system itself is not run, but told in `Build.left_out`.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import NamedTuple

OF_THE_SYSTEM = ("apt-get", "useradd")


class Instruction(NamedTuple):
    word: str
    text: str

    def words(self) -> list[str]:
        """Of the exec form, or as a shell splits them."""
        return json.loads(self.text) if self.text.startswith("[") else shlex.split(self.text)


class Stage(NamedTuple):
    base: str
    name: str
    instructions: list[Instruction]

    def texts(self, word: str) -> list[str]:
        return [one.text for one in self.instructions if one.word == word]

    def environment(self, former: Mapping[str, str]) -> dict[str, str]:
        """Its variables, over what the base has."""
        pairs = [pair.split("=", 1) for text in self.texts("ENV") for pair in shlex.split(text)]
        return {name: value.replace("$PATH", former.get("PATH", "")) for name, value in pairs}


def stages(text: str) -> list[Stage]:
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    found: list[Stage] = []
    for line in filter(None, map(str.strip, joined.splitlines())):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            found.append(Stage(base, name, []))
        elif found:  # what stands before the first is for the bases' names
            found[-1].instructions.append(Instruction(word, rest.strip()))
    return found


def is_sent(path: str, ignore: Sequence[str]) -> bool:
    """Whether a path of the context reaches the builder: the last of .dockerignore's lines that
    names it, or a folder above it, decides."""
    pure = PurePosixPath(path)
    above = [pure, *pure.parents][:-1]
    sent = True
    for line in filter(None, map(str.strip, ignore)):
        pattern = line.removeprefix("!")
        if pattern.startswith("**/"):  # at any depth
            named = any(fnmatchcase(one.name, pattern[3:]) for one in above)
        else:
            depth = len(PurePosixPath(pattern).parts)
            named = any(fnmatchcase(str(one), pattern) for one in above if len(one.parts) == depth)
        if named:
            sent = line.startswith("!")
    return sent


class Build:
    """Args:
    context: the directory that is sent to the builder, less what .dockerignore keeps back.
    place: where all stages are built, on one file system with uv's cache.
    arguments: for ARG.
    """

    def __init__(self, context: Path, place: Path, arguments: Mapping[str, str]) -> None:
        self.context, self.place = context, place
        self.stages = stages((context / "Dockerfile").read_text())
        self.left_out: list[str] = []
        self.environment: dict[str, str] = {}
        """The last stage's, with paths as they are here."""
        self._arguments = arguments
        self._ignore = (context / ".dockerignore").read_text().splitlines()
        self._paths = {
            **{
                path: str(place / path[1:])
                for path in ("/source", "/dist", "/opt/si-stream", "/data")
            },
            "/usr/local/bin/uv": str(place / "base" / "bin" / "uv"),
        }

    def run(self) -> None:
        subprocess.run([sys.executable, "-m", "venv", self.place / "base"], check=True)
        (self.place / "data").mkdir()
        base = {"PATH": f"{self.place / 'base' / 'bin'}:{os.environ['PATH']}"}
        environments: dict[str, dict[str, str]] = {}
        for stage in self.stages:
            former = environments.get(stage.base, base)
            self.environment = former | stage.environment(former)
            environments[stage.name] = self.environment
            self._run(stage)
        self.environment = {name: self.here(value) for name, value in self.environment.items()}

    def here(self, text: str) -> str:
        """With its paths as they are here."""
        for path, real in self._paths.items():
            text = re.sub(rf"(?<![\w./-]){re.escape(path)}(?![\w.-])", real, text)
        return text

    def _run(self, stage: Stage) -> None:
        folder = self.place / "source"
        given: dict[str, str] = {}
        for word, text in stage.instructions:
            if word == "ARG":
                name, _, default = text.partition("=")
                given[name] = self._arguments.get(name, default)
            elif word == "WORKDIR":
                folder = Path(self.here(text))
                folder.mkdir(exist_ok=True)
            elif word == "COPY":
                self._copy(text, folder)
            elif word == "RUN":
                self._shell(text, given, folder)

    def _copy(self, text: str, folder: Path) -> None:
        flags = [word for word in shlex.split(text) if word.startswith("--")]
        *sources, target = [word for word in shlex.split(text) if not word.startswith("--")]
        if flags:  # from another stage, which was built in the same directory
            assert [flag.partition("=")[0] for flag in flags] == ["--from"]
            assert [*sources, target] == [target, target]
            assert Path(self.here(target)).exists()
            return
        for source in sources:
            tracked = self.context / source
            assert is_sent(source, self._ignore), f".dockerignore keeps back {source}"
            if tracked.is_file():
                shutil.copy2(tracked, folder / target)
            else:
                shutil.copytree(tracked, folder / target, ignore=self._kept_back)

    def _kept_back(self, folder: str, names: list[str]) -> set[str]:
        within = Path(folder).relative_to(self.context)
        return {name for name in names if not is_sent(str(within / name), self._ignore)}

    def _shell(self, text: str, given: Mapping[str, str], folder: Path) -> None:
        while text.startswith("--mount="):
            mount, _, text = text.partition(" ")
            options = dict(part.split("=") for part in mount.removeprefix("--mount=").split(","))
            if options["type"] == "bind":
                assert Path(self.here(options["source"])).exists(), mount
                assert options["source"] == options["target"]
            text = text.lstrip()
        if text.startswith(OF_THE_SYSTEM):
            self.left_out.append(text)
            return
        # Files are links to those of uv's cache: the same ones, and they take no room.
        linked = {"UV_LINK_MODE": "hardlink"}
        done = subprocess.run(
            ["sh", "-ec", self.here(text)],
            cwd=folder,
            env=os.environ | self.environment | dict(given) | linked,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"
