"""The page needs nothing from outside, shows foreign names as they are, and the metrics are what Prometheus reads."""

from __future__ import annotations

import json
import re
import threading
import urllib.request
import warnings
from collections import Counter
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from prometheus_client.parser import text_string_to_metric_families

from backup_core.catalogue.backups import KnownBackup
from backup_core.catalogue.catalogue import Catalogue
from backup_core.reports import charts
from backup_core.reports.frames import load_frames
from backup_core.reports.metrics import metrics_server, metrics_text
from backup_core.reports.page import html_page
from backup_core.reports.report import Report, build_report

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
_METRIC = re.compile(r"davault_\w+")
DRAWN = (
    charts.storage_chart, charts.added_chart, charts.ratio_chart, charts.runs_chart, charts.requests_chart,
    charts.drills_chart,
)  # fmt: skip


class _Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.ids: Counter[str] = Counter()
        self.addresses: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        for name, value in attrs:
            if name == "id":
                self.ids[value or ""] += 1
            if name in ("src", "href", "xlink:href", "action", "data", "srcset"):
                self.addresses.append(value or "")


@pytest.fixture(scope="module")
def page(report: Report) -> str:
    return html_page(report)


@pytest.mark.parametrize("draw", DRAWN)
@pytest.mark.parametrize("shape", [charts.WIDE, charts.NARROW])
def test_charts_are_whole_drawings_without_a_font_of_this_machine(draw, shape, report: Report) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # such as "Glyph missing from font"
        svg = draw(report, shape=shape)
    root = ElementTree.fromstring(svg)
    assert root.tag.endswith("svg") and "width" not in root.attrib and root.find("{*}desc").text
    assert not re.search(r">Q\d\dn*<", svg), "every stand-in was replaced"
    assert svg == draw(report, shape=shape), "the same figures make the same drawing"


def test_names_in_charts_are_text(report: Report) -> None:
    assert ">重要文档</text>" in charts.added_chart(report)
    assert ">主站灾难恢复</text>" in charts.drills_chart(report)


def test_the_page_needs_nothing_from_outside(page: str) -> None:
    parsed = _Page(page)
    assert parsed.tags["script"] == parsed.tags["link"] == parsed.tags["img"] == parsed.tags["iframe"] == 0
    assert all(address.startswith("#") for address in parsed.addresses)
    assert not re.search(r"@import|url\((?!#)", page)
    assert [name for name, count in parsed.ids.items() if count > 1] == []
    assert parsed.tags["figure"] == 2 * 9 and 'name="viewport"' in page and "@media print" in page


def test_the_page_says_what_the_report_says(page: str, report: Report) -> None:
    assert "重要文档" in page and "2026-02" in page and "What the figures mean" in page
    for figures in report.configurations:
        assert figures.name in page
    assert "attention" in page


def test_hostile_names_stay_text(empty: Catalogue) -> None:
    name = '<script>alert("x")</script>&\U0001f98a'
    for number in range(3):
        empty.manifests.add(
            KnownBackup(snapshot_id=f"{number:064x}", repository_id="r", backup_id=f"b{number}", configuration=name,
                        backup_type="full", created_at=NOW, total_size=10, data_added=10, stored_size=5)
        )  # fmt: skip
    page = html_page(build_report(load_frames(empty, zone=UTC), now=NOW))
    assert _Page(page).tags["script"] == 0 and "&lt;script&gt;" in page


def test_an_empty_report_is_a_page_too(empty: Catalogue) -> None:
    page = html_page(build_report(load_frames(empty), now=NOW))
    assert "Backup report" in page and "<svg" not in page


def families(text: str) -> dict[str, dict[tuple[str, ...], float]]:
    return {
        family.name: {tuple(sample.labels.values()): sample.value for sample in family.samples}
        for family in text_string_to_metric_families(text)
    }


def test_metrics_are_the_figures(report: Report) -> None:
    found = families(metrics_text(lambda: report).decode())
    for figures in report.configurations:
        assert found["davault_stored_bytes"][figures.name,] == figures.stored_bytes
        assert found["davault_last_success_timestamp_seconds"][figures.name,] == figures.newest_at.timestamp()
    assert found["davault_account_window_requests"] == {("cloud",): 600.0}
    assert found["davault_drill_met"]["主站灾难恢复",] == 1.0
    assert found["davault_report_timestamp_seconds"][()] == report.made_at.timestamp()
    full = next(c for c in report.clients if c.name == "cloud").room.likely
    at = found["davault_account_full_timestamp_seconds"]["cloud",]
    assert datetime.fromtimestamp(at, UTC).date() == full


def test_metrics_over_http_are_made_when_they_are_asked_for(report: Report) -> None:
    asked = []
    server = metrics_server(lambda: asked.append(1) or report, host="127.0.0.1", port=0)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        assert asked == []
        url = f"http://127.0.0.1:{server.server_port}/metrics"
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        for count in (1, 2):
            with opener.open(url) as answer:
                assert "davault_stored_bytes" in families(answer.read().decode())
            assert len(asked) == count
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_the_grafana_dashboard_asks_for_metrics_that_exist(report: Report) -> None:
    dashboard = json.loads((Path(__file__).resolve().parents[3] / "deployments" / "grafana-dashboard.json").read_text())
    asked = {
        name for panel in dashboard["panels"] for target in panel["targets"] for name in _METRIC.findall(target["expr"])
    }
    known = families(metrics_text(lambda: report).decode())
    assert asked and asked <= known.keys()
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    places = [tuple(panel["gridPos"].values()) for panel in dashboard["panels"]]
    assert len(set(places)) == len(places) and all(x + width <= 24 for x, _, width, _ in places)
