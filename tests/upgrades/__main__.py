"""`make upgrade-test`: learners upgraded in mid-stream, predictors that are not, and the way back.

Each earlier version that the tests keep files of is run once more, beside this one. Ends with 1
where a learner that was upgraded has learned other bits than one that was not, a predictor of an
earlier version gives another answer, or that of the last one gives none.
"""

from __future__ import annotations

import json
import shlex
import sys
import time
import urllib.error
import urllib.request
from http import HTTPStatus
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer
from safetensors.torch import load

from services.processes import ADDRESS
from tests.crashes.__main__ import commit as this_commit
from tests.soak.__main__ import ROOT
from tests.upgrades.make import kinds_of
from tests.upgrades.stream import HALF, SETTINGS, Kind, messages, samples, samples_of_half
from tests.upgrades.versions import THIS, Version, flags, version_of

RESULT = ROOT / "docs" / "results" / "upgrade.json"
LAST = "9e718f5"
COMMITS = ("9aa3723", "ae63a33", "589e8f1", LAST)
REFUSED_SECONDS = 10.0
AS_BEFORE = {
    ("ae63a33", "detected"): {"detection.signals": "errors", "detection.returning": "false"}
}
"""What an operator must say so that a learner goes on as it did: settings that the version did not
have, and whose default is to do more."""

Tensors = dict[str, bytes]


def main(
    output: Annotated[Path, typer.Option(metavar="FILE", help="Where the result goes.")] = RESULT,
) -> None:
    """Upgrade learners in mid-stream, and compare what they learn."""
    at, found = this_commit(), []
    for commit in COMMITS:
        with version_of(commit) as earlier:
            for kind in kinds_of(commit):
                with TemporaryDirectory(prefix=f"upgrade-{commit}-") as name:
                    found.append(upgraded(commit, earlier, kind, Path(name)))
                print(json.dumps(found[-1]), flush=True)
    well = all(
        one["learned_the_same_bits"]
        and one["earlier_predictor"]
        in (("answers alike",) if one["from"] == LAST else ("answers alike", "refuses"))
        for one in found
    )
    result = {
        "command": shlex.join(["python", "-m", "tests.upgrades", *sys.argv[1:]]),
        "commit": at,
        "upgrades": found,
        "well": well,
    }
    output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    raise typer.Exit(0 if well else 1)


def upgraded(commit: str, earlier: Version, kind: Kind, base: Path) -> dict[str, Any]:
    """One learner that learns all of the stream at the earlier version, one here, and one that
    begins there and goes on here."""
    before, end = SETTINGS[kind], len(messages(kind))
    now = before | AS_BEFORE.get((commit, kind), {})
    earlier.send(kind, base / "before", 0, end)
    earlier.learn(base / "before", before)
    THIS.send(kind, base / "now", 0, end)
    THIS.learn(base / "now", now)
    earlier.send(kind, base / "upgraded", 0, HALF[kind])
    earlier.learn_up_to(samples_of_half(kind), base / "upgraded", before)
    half = ledger_of(base / "upgraded")
    THIS.send(kind, base / "upgraded", HALF[kind], end)
    THIS.learn(base / "upgraded", now)
    whole = ledger_of(base / "upgraded")
    tensors = {name: tensors_of(base / name) for name in ("before", "upgraded", "now")}
    differ_before = differing(tensors["before"], tensors["upgraded"])
    differ_now = differing(tensors["now"], tensors["upgraded"])
    wrong = [name for name in differ_before + differ_now if name.startswith("main/")]
    return {
        "from": commit,
        "boundaries": kind,
        "settings_to_say": AS_BEFORE.get((commit, kind), {}),
        "samples_before_the_upgrade": half["samples"],
        "samples": whole["samples"],
        "tensors_of_the_learner": sum(name.startswith("main/") for name in tensors["now"]),
        "learned_the_same_bits": not wrong and half["samples"] < whole["samples"],
        "drawn_from_the_upgrade_on": sorted({*differ_before, *differ_now}.difference(wrong)),
        "earlier_predictor": predictor(earlier, base / "upgraded"),
        "going_back": going_back(earlier, base / "upgraded", before),
    }


def differing(one: Tensors, other: Tensors) -> list[str]:
    """The tensors that both have, and not the same bits of."""
    return sorted(name for name in one.keys() & other.keys() if one[name] != other[name])


def newest_checkpoint(directory: Path) -> Path:
    return max(directory.glob("epochs/*/checkpoints/[0-9]*"))


def ledger_of(directory: Path) -> dict[str, Any]:
    manifest = json.loads((newest_checkpoint(directory) / "manifest.json").read_text())
    ledger: dict[str, Any] = manifest["ledger"]
    return ledger


def tensors_of(directory: Path) -> Tensors:
    data = (newest_checkpoint(directory) / "state.safetensors").read_bytes()
    return {name: tensor.numpy().tobytes() for name, tensor in load(data).items()}


def predictor(earlier: Version, directory: Path) -> str:
    """What the earlier version's predictor makes of a model that was learned here."""
    found = answers(earlier, directory)
    if found is None:
        return "refuses"
    return "answers alike" if found == answers(THIS, directory) else "answers otherwise"


def answers(version: Version, directory: Path) -> list[Any] | None:
    """Of a version's predictor, for each task; None where it does not take the snapshot."""
    process = version.start("predictor", "--directory", str(directory), "--port", "0")
    try:
        assert process.stdout is not None
        address = next(found.group() for line in process.stdout if (found := ADDRESS.search(line)))
        deadline = time.monotonic() + REFUSED_SECONDS
        while (told := asked(f"{address}/tasks")) is None:
            if time.monotonic() > deadline:
                return None
            time.sleep(0.1)
        inputs = samples(20, 5000).inputs.tolist()
        bodies = [{"task": one["name"], "inputs": inputs} for one in told["tasks"]]
        given = [asked(f"{address}/predict", body) for body in bodies]
        return [[one["probabilities"] for one in answer["predictions"]] for answer in given]
    finally:
        process.terminate()
        process.communicate()


def asked(url: str, body: dict[str, Any] | None = None) -> Any:
    """None where it cannot answer yet."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        if error.code == HTTPStatus.SERVICE_UNAVAILABLE:
            return None
        raise


def going_back(earlier: Version, directory: Path, settings: dict[str, str]) -> dict[str, Any]:
    """What the earlier version's learner says to a model that has been learned on here."""
    ended = earlier.run("learner", "--exit-at-end", *flags(directory, settings))
    said = (ended.stderr or ended.stdout).strip().splitlines()
    assert not any(line.startswith("Traceback") for line in said), ended.stderr
    if ended.returncode == 0:
        return {"exit_code": 0, "goes_on": True}
    says = said[-1].replace(str(directory), "DIRECTORY")
    return {"exit_code": ended.returncode, "goes_on": False, "says": says}


if __name__ == "__main__":
    typer.run(main)
