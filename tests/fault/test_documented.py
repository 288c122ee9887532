"""docs/webdav-faults.md names tests that exist, and each of the 25 kinds of fault has some."""

from __future__ import annotations

import ast
import re
from pathlib import Path

FAULTS = Path(__file__).parent
DOCUMENT = (FAULTS.parents[1] / "docs" / "webdav-faults.md").read_text(encoding="utf-8")


def _tests_in(path: Path) -> set[str]:
    return {
        node.name
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def test_every_fault_is_numbered_and_has_tests() -> None:
    rows = [line for line in DOCUMENT.splitlines() if re.match(r"\| \d+\. ", line)]
    assert [int(row.split(".")[0].strip("| ")) for row in rows] == list(range(1, 26))
    for row in rows:
        assert "`" in row.split("|")[3], row


def test_every_test_that_is_named_exists() -> None:
    named = re.findall(r"`([\w./]+\.py)::(\w+)`", DOCUMENT)
    assert len(named) > 60
    for file, name in named:
        assert name in _tests_in((FAULTS / file).resolve()), f"{file}::{name}"
