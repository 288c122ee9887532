"""``usage``, ``stats``, ``report`` and ``metrics`` on real backups, and that docs/cli.md names every key."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Any

import pytest

from backup_core.testing.webdav_server import WebDAVServer

DOCUMENTATION = (Path(__file__).resolve().parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
FREE = {"docs", "disk", "data", "index", "snapshots", "keys", "config", "locks", "", "records", "davault"}
"""Keys that are names of configurations, clients or folders."""


def _keys(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*map(_keys, value.values()))
    return set().union(*map(_keys, value)) if isinstance(value, list) else set()


def _told(heading: str) -> set[str]:
    section = re.split(r"^##", DOCUMENTATION.split(f"{heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
    return set(re.findall(r"`(\w+)`", section))


@pytest.fixture
def backed_up(davault, docs: str, source: Path) -> str:
    davault("backup", docs)
    (source / "more.txt").write_text("more\n" * 100)
    davault("backup", docs)
    return docs


@pytest.mark.parametrize(
    ("words", "heading"),
    [
        (("usage", "--measure", "--refresh"), "### `usage [NAME]`"),
        (("stats",), "### `stats [NAME]`"),
        (("report", "--budget", "1G", "--refresh"), "### `report`"),
        (("metrics",), "### `metrics`"),
    ],
)
def test_every_key_is_documented(davault, backed_up: str, words: tuple[str, ...], heading: str) -> None:
    assert _keys(davault(*words, "--json").document) - FREE <= _told(heading)


def test_usage_is_what_lies_on_the_server(davault, backed_up: str, tmp_path: Path) -> None:
    document = davault("usage", "--measure", "--json").document
    on_disk = {p: p.stat().st_size for p in (tmp_path / "store" / "backups").rglob("*") if p.is_file()}
    (measured,) = document["measured"]
    assert measured["total"] == sum(on_disk.values()) and measured["complete"]
    packs = sum(size for path, size in on_disk.items() if "data" in path.parts[len(tmp_path.parts) :])
    assert document["total_size"] == document["by_config"]["docs"]["total_size"] == packs == measured["known_packs"]
    assert document["by_config"]["docs"]["backup_types"] == {"full": 1, "incremental": 1}
    shown = davault("usage", "docs", "--measure").stdout
    assert f"{measured['total']:,} bytes in all" in shown and "2 backups hold" in shown


def test_room_is_asked_for_and_remembered(davault, backed_up: str, tmp_path: Path) -> None:
    free = os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize
    (account,) = davault("usage", "--refresh", "--json").document["accounts"]
    assert account["client"] == "disk" and account["available"] == pytest.approx(free, rel=0.2)
    assert davault("usage", "--json").document["accounts"] == [account]
    (client,) = davault("report", "--json").document["clients"]
    assert client["available_bytes"] == account["available"]


def test_a_server_that_is_down_is_told(davault, backed_up: str, tmp_path: Path) -> None:
    davault("client", "add", "gone", "--url", "http://127.0.0.1:9/", "--allow-insecure")
    davault("config", "add", "other", "--client", "gone", "--path", "/x", "--source", tmp_path, "--no-encrypt")
    ended = davault("usage", "--refresh")
    assert "did not say how much room it has" in ended.stdout and "account disk" in ended.stdout


def test_stats_for_people(davault, backed_up: str) -> None:
    shown = davault("stats", "docs").stdout
    assert "2: 1 full, 1 incremental" in shown and "2, of which 0 failed" in shown and "MONTH" in shown
    davault("stats", "unknown", code=5)
    davault("usage", "unknown", code=5)


def test_a_report_is_written_whole(davault, backed_up: str, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    shown = davault("report", "--html", page, "--budget", "1G").stdout
    assert f"written to {page}" in shown and "budget" in shown and "docs" in shown
    assert "docs: was never validated" in shown
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(page.stat().st_mode) == 0o666 & ~umask
    assert [p.name for p in tmp_path.iterdir() if "report" in p.name] == ["report.html"]
    assert "No such file" in davault("report", "--html", tmp_path / "missing" / "x.html", code=9).stderr
    davault("report", "--budget", "much", code=2)


def test_reports_go_by_what_alerts_go_by(davault, backed_up: str) -> None:
    from backup_core.config.notifications import NotificationSettings
    from backup_core.services.application import open_application
    from backup_core.services.notices import Notices

    assert davault("report", "--json").document["budget"] is None
    with open_application() as application:
        backup = application.manager.backup_service
        settings = NotificationSettings(storage_budget=1000, no_backup_for=3600.0)
        Notices(backup.catalogue, backup.clock).keep(settings)
    document = davault("report", "--json", code=3).document
    assert document["budget"]["limit_bytes"] == 1000 and document["budget"]["reached"]
    assert document["configurations"][0]["rpo_seconds"] == 3600.0
    assert davault("report", "--budget", "1G", "--json").document["budget"]["limit_bytes"] == 1024**3


def test_what_is_serious_ends_with_problems(davault, docs: str) -> None:
    ended = davault("report", code=3)
    assert "attention: docs: has no good backup; back it up: davault backup docs" in ended.stdout


def test_metrics_are_printed_or_written(davault, backed_up: str, tmp_path: Path) -> None:
    assert 'davault_backups{configuration="docs"} 2.0' in davault("metrics").stdout
    file = tmp_path / "davault.prom"
    assert "metrics written to" in davault("metrics", "--file", file).stdout
    assert 'davault_failed_runs_30d{configuration="docs"} 0.0' in file.read_text()
    davault("metrics", "--file", file, "--listen", "127.0.0.1:0", code=2)
    for address in ("9190", "host:", ":9190", "127.0.0.1:99999"):
        davault("metrics", "--listen", address, code=2)


def test_stored_bytes_on_a_webdav_server_to_the_byte(
    davault, dav: WebDAVServer, tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two configurations share a repository; their shares add up to what the server holds, before and after pruning."""
    monkeypatch.setenv("DAV", dav.password.reveal())
    davault("client", "add", "云", "--url", dav.url, "--username", dav.username, "--password-env", "DAV")
    for name, path in (("重要文档", source), ("other", source / "projects")):
        davault("config", "add", name, "--client", "云", "--path", "/备份", "--source", path, "--no-encrypt")
    for number in range(3):
        (source / "projects" / "big.bin").write_bytes(os.urandom(200_000 + number))
        davault("backup", "重要文档")
        davault("backup", "other")

    def compare() -> int:
        document = davault("usage", "--measure", "--json").document
        on_disk = {p.relative_to(dav.root / "备份"): p.stat().st_size for p in dav.root.rglob("*") if p.is_file()}
        packs = sum(size for path, size in on_disk.items() if path.parts[0] == "data")
        by_config = {name: info["total_size"] for name, info in document["by_config"].items()}
        assert sum(by_config.values()) == document["total_size"] == packs
        assert document["measured"][0]["total"] == sum(on_disk.values())
        assert davault("stats", "--json").document["backup_stats"]["total_size"] == packs
        report = davault("report", "--json", code=None).document
        assert report["overall"]["stored_bytes"] == packs
        assert {one["name"]: one["stored_bytes"] for one in report["configurations"]} == by_config
        return packs

    before = compare()
    davault("cleanup", "重要文档", "--keep-last", "1", "--yes")
    davault("prune", "重要文档", "--max-unused", "0")
    assert compare() < before
