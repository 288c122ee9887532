"""``davault health``, as a monitoring system runs it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

DOCUMENTATION = (Path(__file__).resolve().parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")


def test_the_exit_code_tells_whether_all_is_well(davault: Any, docs: str, tmp_path: Path) -> None:
    assert "nothing" not in davault("health", code=3).stdout  # never backed up
    davault("init", docs)
    davault("backup", docs)
    assert "well" in davault("health").stdout
    answer = davault("health", docs, "--json").document
    assert answer["healthy"] is True
    assert {check["check"] for check in answer["checks"]} >= {"reachable", "key", "index", "locks", "age", "space"}
    davault("health", "--rpo", "0.0000001", code=3)
    davault("health", "--rpo", "0", code=2)
    davault("health", "nobody", code=5)
    shutil.rmtree(tmp_path / "store")
    assert davault("health", "--json", code=3).document["errors"] == 1


def test_every_key_is_documented(davault: Any, docs: str) -> None:
    answer = davault("health", "--json", code=3).document
    section = DOCUMENTATION.split("### `health [NAME]...`")[1].split("\n### ")[0]
    words = set(re.findall(r"`([a-z_]+)`", section))
    assert answer.keys() <= words
    assert answer["checks"][0].keys() <= words
