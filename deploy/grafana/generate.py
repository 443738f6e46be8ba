"""Write the dashboard's JSON, which Grafana loads (`make dashboards`)."""

from __future__ import annotations

from pathlib import Path

from deploy.grafana.dashboard import UID, encoded

DASHBOARD = Path(__file__).parent / "dashboards" / f"{UID}.json"

if __name__ == "__main__":
    DASHBOARD.write_text(encoded(), encoding="utf-8")
