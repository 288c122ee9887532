"""A whole life of a repository on each server, with restic as the judge of what the server keeps."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from backup_core.testing.server_matrix import KINDS, NAMES, STEPS, TABLE, Row, restic_programs, run_on, table_of
from backup_core.testing.server_programs import running


@pytest.mark.server
@pytest.mark.restic
@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_life_on(kind: str, tmp_path: Path) -> None:
    restics = restic_programs() or pytest.skip("restic is not installed: tools/test-programs installs it")
    with running(kind) as server:
        row = run_on(server, tmp_path, restics=restics)
    assert row.passed, row.outcomes
    assert all(row.requests[step] > 0 for step in STEPS if step != "restic")


def test_the_committed_table_shows_every_server_through_every_step() -> None:
    lines = [line for line in TABLE.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    for name in NAMES.values():
        measured, answers = [line for line in lines if line.startswith(f"| {name} |")]
        assert len(re.findall(r"\| ok \(\d+\) ", measured)) == len(STEPS) - 1, name
        assert "| ok |" in measured
        assert "MKCOL of what exists" in answers


def test_a_step_that_fails_is_told_in_the_table() -> None:
    row = Row("apache", "2.4", outcomes={"init": "ok", "full": "StepFailed: it | differs"}, requests={"init": 14})
    assert not row.passed
    line = next(line for line in table_of([row], []).splitlines() if line.startswith("| Apache"))
    assert "| ok (14) | **StepFailed: it \\| differs** | **not reached** |" in line
