"""``davault dr`` and ``davault notify``, as typed by a user."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from .conftest import Davault

DOCUMENTATION = (Path(__file__).resolve().parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
OWN_KEYS = frozenset({"lost"})


@pytest.fixture
def plan(davault: Davault, docs: str, tmp_path: Path) -> str:
    """A plan of one step with a check, made as a user would: created, exported, edited in a file, imported."""
    davault("backup", docs)
    davault("dr", "create", "shop", "--target", tmp_path / "recovered", "--step", f"files={docs}", "--rto", "1h")
    file = tmp_path / "plans.toml"
    file.write_text(davault("dr", "export", "shop").stdout + CHECK)
    assert davault("dr", "import", file, "--json", code=5).document["error"]["kind"] == "ConfigError"
    assert davault("dr", "import", file, "--replace", "--json").document == {"imported": ["shop"], "notes": []}
    return "shop"


CHECK = """
[[plans."shop".steps.checks]]
kind = "command"
command = "test -d {target}"
"""


def undocumented(heading: str, document: Any) -> set[str]:
    """Keys of a document that the chapter of docs/cli.md does not name."""
    chapter = DOCUMENTATION.partition("\n## Disaster recovery")[2].partition("\n## ")[0]
    return {key for key in _keys(document) if not re.search(rf"`[^`\n]*\b{re.escape(key)}\b[^`\n]*`", chapter)}


def _keys(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set(value) | {k for name, v in value.items() if name not in OWN_KEYS for k in _keys(v)}
    return {k for v in value for k in _keys(v)} if isinstance(value, list) else set()


def test_from_a_plan_to_a_recovery(davault: Davault, plan: str, tmp_path: Path) -> None:
    shown = davault("dr", "show", plan, "--json").document
    assert shown["plan"]["steps"][0]["checks"][0]["kind"] == "command"
    assert "1h" in davault("dr", "list").stdout and "files" in davault("dr", "show", plan).stdout
    ready = davault("dr", "test", plan, "--json").document
    assert ready["passed"] and "shop is ready" in davault("dr", "test", plan).stdout

    drilled = davault("dr", "drill", plan, "--scratch", tmp_path / "scratch", "--json").document
    assert drilled["good"] and drilled["rto"] > 0 and drilled["trend"]["drills"] == 1
    assert list((tmp_path / "scratch").iterdir()) == []

    report = tmp_path / "report.md"
    executed = davault("dr", "execute", plan, "--yes", "--report", report, "--json").document
    assert executed["state"] == "completed" and (tmp_path / "recovered" / "files").is_dir()
    assert "everything came back" in report.read_text()
    history = davault("dr", "history", plan, "--json").document
    assert [r["kind"] for r in history["runs"]] == ["execution", "drill"]
    text = davault("dr", "history", plan).stdout
    assert executed["run_id"] in text and "no objective was ever missed" in text
    assert davault("dr", "report", executed["run_id"]).stdout.startswith("# Recovery of shop")
    for document in (shown, ready, drilled, executed, history, davault("dr", "list", "--json").document):
        assert undocumented("Disaster recovery", document) == set()
    assert davault("dr", "remove", plan, "--json").document == {"removed": shown["plan_id"]}
    assert davault("dr", "list", "--json").document == {"plans": []}


def test_a_lost_pack_ends_with_another_exit_code(davault: Davault, plan: str, tmp_path: Path) -> None:
    packs = [p for p in (tmp_path / "store" / "backups" / "data").rglob("*") if p.is_file()]
    for pack in packs:
        pack.unlink()
    assert davault("dr", "test", plan, "--json", code=3).document["passed"] is False
    ended = davault("dr", "execute", plan, "--yes", "--report", tmp_path / "r.json", "--json", code=None)
    assert ended.code in (1, 4)
    document = json.loads((tmp_path / "r.json").read_text())
    assert document["state"] in ("incomplete", "failed") and not document["good"]
    assert davault("dr", "drill", plan, code=None).code in (1, 4)


def test_a_drill_that_is_too_slow_has_problems(davault: Davault, plan: str) -> None:
    davault("dr", "edit", plan, "--rto", "0.001s")
    ended = davault("dr", "drill", plan, code=3)
    assert "RTO missed" in ended.stdout and "first breach" in ended.stdout


def test_nothing_is_executed_without_a_yes(davault: Davault, plan: str, tmp_path: Path) -> None:
    ended = davault("dr", "execute", plan, code=2)
    assert "docs_" in ended.stderr and "--yes" in ended.stderr
    assert not (tmp_path / "recovered").exists()
    assert davault("dr", "execute", plan, "--json", code=2).document["error"]["kind"] == "UsageError"


def test_a_failed_step_is_resumed(davault: Davault, plan: str, tmp_path: Path) -> None:
    file = tmp_path / "plans.toml"
    marker = tmp_path / "marker"
    file.write_text(file.read_text().replace("test -d {target}", f"test -e {marker}"))
    davault("dr", "import", file, "--replace")
    assert "check of test -e" in davault("dr", "execute", plan, "--yes", code=1).stdout
    assert "--yes" in davault("dr", "resume", plan, code=2).stderr
    marker.touch()
    assert davault("dr", "resume", plan, "--yes", "--json").document["state"] == "completed"
    assert davault("dr", "resume", plan, "--yes", code=5).stderr.startswith("error: no execution of")


def test_plans_are_edited(davault: Davault, plan: str, docs: str) -> None:
    edited = davault("dr", "edit", plan, "--step", f"more={docs}", "--after", "more=files", "--rpo", "2d",
                     "--rto", "none", "--name", "shop 2", "--on-failure", "stop", "--json")  # fmt: skip
    edited = edited.document["plan"]
    assert (edited["name"], edited["rto"], edited["rpo"], edited["on_failure"]) == ("shop 2", None, 172_800, "stop")
    assert [(s["name"], s["depends_on"]) for s in edited["steps"]] == [("files", []), ("more", ["files"])]
    edited = davault("dr", "edit", "shop 2", "--remove-step", "files", "--json").document["plan"]
    assert [(s["name"], s["depends_on"]) for s in edited["steps"]] == [("more", [])]
    assert "circle" in davault("dr", "edit", "shop 2", "--after", "more=more", code=5).stderr
    davault("dr", "edit", "shop 2", code=2)
    davault("dr", "edit", "shop 2", "--remove-step", "x", code=2)
    davault("dr", "create", "x", "--step", docs, code=2)
    davault("dr", "history", "--kind", "x", code=2)
    davault("dr", "show", "nothing", code=5)


def test_notifications_are_set(davault: Davault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPS", "json://127.0.0.1:1/")
    davault("notify", "set", code=2)
    made = davault("notify", "set", "--smtp-host", "127.0.0.1", "--smtp-port", 1, "--smtp-security", "none",
                   "--recipient", "ops@example.com", "--channel", "env:OPS", "--json").document  # fmt: skip
    assert made["notifications"]["recipients"] == ["ops@example.com"]
    assert davault("notify", "show", "--json").document["notifications"] == made["notifications"]
    assert undocumented("Disaster recovery", made) == set()
    failed = davault("notify", "test", "--json", code=6).document
    assert not failed["delivered"] and len(failed["failed"]) == 2
    davault("notify", "set", "--channel", "json://secret@host", code=5)
    assert davault("notify", "set", "--reset", "--json").document["notifications"]["channels"] == []
    assert "everything was delivered" in davault("notify", "test").stdout


def test_alerts_are_shown_and_told(davault: Davault, plan: str) -> None:
    assert davault("alerts", "--json").document == {"alerts": [], "told": [], "resolved": [], "undelivered": []}
    assert "nothing to be alarmed about" in davault("alerts").stdout
    davault("dr", "edit", plan, "--rto", "0.001s")
    davault("dr", "drill", plan, code=3)
    davault("notify", "set", "--storage-budget", "1")
    document = davault("alerts", "--send", "--json", code=3).document
    assert [alert["kind"] for alert in document["alerts"]] == ["drill-failed", "storage-budget"]
    assert document["told"] == ["drill-failed:shop", "storage-budget:"]
    assert undocumented("Disaster recovery", document) == set()
    assert "davault dr history shop" in davault("alerts", code=3).stdout
    davault("notify", "set", "--smtp-host", "127.0.0.1", "--smtp-port", 1, "--recipient", "ops@example.com",
            "--storage-budget", "none", "--remind-after", "1s")  # fmt: skip
    assert davault("alerts", "--send", code=6).stdout.count("not delivered: no mail") == 1
