"""A Prometheus and an Alertmanager of a test: started, asked, reloaded, and gone at the end."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.local_process import NotAvailable, is_free
from deploy.prometheus.local_prometheus import LocalAlertmanager, LocalPrometheus

EVERY_SECOND = {"scrape_interval": "1s", "evaluation_interval": "1s"}


def configuration(recorded: str) -> dict[str, dict[str, object]]:
    rule = {"record": "recorded", "expr": f"vector({recorded})"}
    return {
        "prometheus.yml": {"global": EVERY_SECOND, "rule_files": ["rules.yml"]},
        "rules.yml": {"groups": [{"name": "recorded", "rules": [rule]}]},
    }


def wait_for(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(0.1)


def test_it_answers_queries_of_now_and_of_a_time(
    start_prometheus: Callable[..., LocalPrometheus], tmp_path: Path
) -> None:
    started = time.time()
    prometheus = start_prometheus(tmp_path, configuration("7"))
    wait_for(lambda: [sample.value for sample in prometheus.query("recorded")] == [7.0])
    assert prometheus.query("scalar(vector(2))") == [({}, 2.0)]
    assert prometheus.query("recorded", at=started - 60) == []
    end = time.time()
    [series] = prometheus.query_range("recorded", start=end - 10, end=end, step=1)
    assert {value for _, value in series.values} == {7.0}

    prometheus.reload(configuration("8"))
    wait_for(lambda: [sample.value for sample in prometheus.query("recorded")] == [8.0])
    with pytest.raises(ValueError, match="field nonsense not found"):
        prometheus.reload({"prometheus.yml": {"nonsense": 1}})
    with pytest.raises(ValueError, match=r"answers 400: .*parse error"):
        prometheus.query("1 +")


def test_what_it_stored_is_there_when_it_is_started_again(
    start_prometheus: Callable[..., LocalPrometheus], tmp_path: Path
) -> None:
    prometheus = start_prometheus(tmp_path, configuration("7"))
    wait_for(lambda: bool(prometheus.query("recorded")))
    when = time.time()
    prometheus.process.kill()
    prometheus.start()
    assert [sample.value for sample in prometheus.query("recorded", at=when)] == [7.0]


def test_it_ends_with_the_process_that_started_it(promtool: str, tmp_path: Path) -> None:
    assert promtool
    script = (
        "import os; from pathlib import Path\n"
        "from deploy.prometheus.local_prometheus import LocalPrometheus\n"
        f"prometheus = LocalPrometheus(Path({str(tmp_path)!r}), {{'prometheus.yml': {{}}}})\n"
        "prometheus.start(); print(prometheus.port, flush=True); os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    port = int(done.stdout)
    wait_for(lambda: is_free(port))


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(NotAvailable, match="apt install prometheus-alertmanager"):
        LocalAlertmanager(tmp_path, {}).start()


def test_an_alertmanager_that_does_not_come_up_says_why(amtool: str, tmp_path: Path) -> None:
    assert amtool
    broken = LocalAlertmanager(tmp_path, {"alertmanager.yml": {"route": {"receiver": "nobody"}}})
    with pytest.raises(NotAvailable, match=r"(?s)ended; .*nobody"):
        broken.start()
