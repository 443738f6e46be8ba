"""`make surface`: writes the frozen surfaces anew; what has changed is seen in the diff."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.surface.surfaces import SURFACES

LINE = 120


def file_of(name: str) -> Path:
    return Path(__file__).with_name(f"{name}.json")


def text_of(surface: Any, indent: str = "") -> str:
    """JSON with a line for each thing that fits one."""
    line = json.dumps(surface, ensure_ascii=False)
    if len(line) <= LINE or not isinstance(surface, dict):
        return line if indent else f"{line}\n"
    inner = f"{indent} "
    members = [f"{inner}{json.dumps(k)}: {text_of(v, inner)}" for k, v in surface.items()]
    return "\n".join(["{", ",\n".join(members), f"{indent}}}"]) + ("" if indent else "\n")


def main() -> None:
    for name, collect in SURFACES.items():
        file_of(name).write_text(text_of(collect()), encoding="utf-8")


if __name__ == "__main__":
    main()
