"""The page itself: its document and its files."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest

from deploy.prometheus.rules import shipped
from services.predictor.page_files import FOLDER, PageFiles
from tests.services.predictor.serving import Running

OWN_FILES = sorted(path for path in FOLDER.iterdir() if path.name != "index.html")


def addresses(predictor: Running) -> list[str]:
    return re.findall(r'"(page/[^"]+)"', predictor.client.get("/").text)


def test_the_document_may_load_nothing_from_elsewhere_and_is_asked_for_each_time(
    predictor: Running,
) -> None:
    answer = predictor.client.get("/")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'; script-src 'self'; " in policy
    assert "unsafe-eval" not in policy
    assert "unsafe-inline" not in policy.partition("style-src")[0]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"


def test_what_the_document_names_is_there_for_good(predictor: Running) -> None:
    named = addresses(predictor)
    assert {path.rpartition("/")[2] for path in named} == {
        *("icon.svg", "page.css", "main.js", "plotly.min.js"),
    }
    for path in named:
        answer = predictor.client.get(f"/{path}")
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        plain = predictor.client.get(f"/{path}", headers={"Accept-Encoding": "identity"})
        assert "content-encoding" not in plain.headers
        assert plain.content == answer.content
        assert "immutable" in plain.headers["cache-control"]


def test_plotly_is_that_of_the_installed_package_and_travels_compressed(
    predictor: Running,
) -> None:
    path = next(path for path in addresses(predictor) if "plotly" in path)
    with predictor.client.stream("GET", f"/{path}") as answer:
        raw = b"".join(answer.iter_raw())
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["content-type"].startswith("text/javascript")
    assert len(raw) < 2_000_000
    assert b"plotly.js v" in gzip.decompress(raw)[:200]


def test_every_module_is_served_beside_the_others_that_it_imports(predictor: Running) -> None:
    main = next(path for path in addresses(predictor) if path.endswith("main.js"))
    folder = main.rpartition("/")[0]
    for path in OWN_FILES:
        answer = predictor.client.get(f"/{folder}/{path.name}")
        assert answer.content == path.read_bytes()
        for imported in re.findall(r'from "\./([\w.-]+)"', path.read_text("utf-8")):
            assert (FOLDER / imported).is_file()


def test_no_file_of_the_page_names_another_host() -> None:
    for path in FOLDER.iterdir():
        found = re.findall(r"(?:https?:)?//[\w.-]+\.\w+", path.read_text("utf-8"))
        assert [one for one in found if one != "http://www.w3.org"] == []


@pytest.mark.parametrize(
    "path", ["/page/0/main.js", "/page/x/..%2fpage_files.py", "/page/x/none", "/page/x"]
)
def test_another_file_or_another_version_is_a_problem(path: str, predictor: Running) -> None:
    answer = predictor.client.get(path)
    assert answer.status_code == 404
    assert answer.json()["type"] == "urn:si-stream:problem:unknown-route"


def test_a_changed_file_has_another_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in FOLDER.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    before = PageFiles().document
    monkeypatch.setattr("services.predictor.page_files.FOLDER", tmp_path)
    assert PageFiles().document == before
    (tmp_path / "wording.js").write_text("// other words")
    assert PageFiles().document != before


def test_the_page_says_that_a_task_is_forgotten_where_the_alert_does() -> None:
    verdict = (FOLDER / "verdict.js").read_text("utf-8")
    rules = {
        rule["record"]: rule["expr"]
        for group in shipped()["rules.yml"]["groups"]
        for rule in group["rules"]
    }
    for name, record in (
        ("FORGOTTEN", "forgetting_ratio"),
        ("ERRORS", "forgetting_standard_errors"),
    ):
        found = re.search(rf"const {name} = ([0-9.]+);", verdict)
        assert found is not None
        assert rules[f"si_stream_threshold:{record}"] == f"vector({found[1]})"
