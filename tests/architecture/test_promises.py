"""What docs/reliability.md promises names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def test_every_promise_names_tests_that_exist(project: Path) -> None:
    page = (project / "docs" / "reliability.md").read_text(encoding="utf-8")
    rows = [line for line in page.partition("## How it is tried")[0].splitlines() if line.startswith("| ")][1:]
    assert len(rows) >= 15
    assert [row for row in rows if not NAMED.search(row)] == []
    missing = [
        f"{path}::{test}"
        for path, test in NAMED.findall(page)
        if not (project / path).is_file()
        or not re.search(rf"^(?:async )?def {test}\(|^{test} = ", (project / path).read_text("utf-8"), re.MULTILINE)
    ]
    assert missing == []
