"""`python -m tests.upgrades.make COMMIT`: what that commit leaves in the directory of a model.

Half of each stream is sent and learned by the commit's own programs, and kept in
`written-by/COMMIT.tar.xz`: checkpoint, snapshot, log, journal and whatever else there is. It is
written once, since files that were made anew would not be those that people have.
"""

from __future__ import annotations

import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from tests.upgrades.stream import HALF, SETTINGS, Kind, samples_of_half
from tests.upgrades.versions import git, version_of

WRITTEN_BY = Path(__file__).parent / "written-by"
BEFORE_DETECTION = {"9aa3723"}


def kinds_of(commit: str) -> list[Kind]:
    return ["told"] if commit in BEFORE_DETECTION else ["told", "detected"]


def main(commit: Annotated[str, typer.Argument(help="Of an earlier version.")]) -> None:
    """Keep what an earlier version leaves of two small models, for the tests."""
    short = git("rev-parse", "--short=7", commit)
    WRITTEN_BY.mkdir(exist_ok=True)
    with TemporaryDirectory() as name, version_of(commit) as version:
        base = Path(name)
        for kind in kinds_of(short):
            version.send(kind, base / kind, 0, HALF[kind])
            version.learn_up_to(samples_of_half(kind), base / kind, SETTINGS[kind])
        with tarfile.open(WRITTEN_BY / f"{short}.tar.xz", "x:xz") as archive:
            for kind in kinds_of(short):
                archive.add(base / kind, arcname=kind, filter=nobodys)
    print(WRITTEN_BY / f"{short}.tar.xz")


def nobodys(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Without the name and the number of whoever made it."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


if __name__ == "__main__":
    typer.run(main)
