"""`make surface`: writes the frozen surfaces anew; what has changed is seen in the diff."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.surface.surfaces import SURFACES


def file_of(name: str) -> Path:
    return Path(__file__).with_name(f"{name}.json")


def text_of(surface: Any) -> str:
    return json.dumps(surface, indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    for name, collect in SURFACES.items():
        file_of(name).write_text(text_of(collect()), encoding="utf-8")


if __name__ == "__main__":
    main()
