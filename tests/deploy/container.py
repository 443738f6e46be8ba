"""A process as it has it in a container that is locked: a root that nobody can write, a user who
owns nothing, a /tmp in memory from which nothing is executed, and no way to more rights.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

USER = "10001"
SCRIPT = """\
set -e
root=$1 data=$2; shift 2
mount --make-rprivate /
mount --rbind / "$root"
mount -o remount,bind,ro "$root"
mount -t tmpfs -o noexec,nosuid,nodev,mode=1777,size=256m tmpfs "$root/tmp"
mkdir -p "$root$data"  # of a directory in /tmp, which is hidden by now
mount --bind "$data" "$root$data"
exec chroot "$root" "$@"
"""
# To read is no right of root's here: a checkout and a Python may lie in a home that is closed.
LOCKED = [
    *("setpriv", "--reuid", USER, "--regid", USER, "--clear-groups", "--no-new-privs"),
    *(f"--{kind}=-all,+dac_read_search" for kind in ("inh-caps", "ambient-caps", "bounding-set")),
]


def locked(
    root: Path, data: Path, command: Sequence[str], environment: Mapping[str, str]
) -> list[str]:
    """The command line of the process: it becomes the command itself, under the same number.

    Args:
        root: an empty directory, for the mounts that only this process sees.
        data: the one directory that it may write, beside /tmp.
    """
    variables = [f"{name}={value}" for name, value in environment.items()]
    inside = [*LOCKED, "env", "-i", *variables, *command]
    return ["unshare", "--mount", "sh", "-c", SCRIPT, "sh", str(root), str(data), *inside]


def run(arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, capture_output=True, text=True, timeout=120, check=False)
