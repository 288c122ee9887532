"""``davault estimate``, and what a dry run plans."""

from __future__ import annotations

from typing import Any

import pytest


def test_the_estimate_of_a_first_backup_and_the_backup_itself(davault: Any, docs: str) -> None:
    estimate = davault("estimate", docs, "--json").document
    assert (estimate["config"], estimate["backup_type"]) == (docs, "full")
    assert estimate["bytes_to_read"] == estimate["total_size"] > 0
    assert estimate["says"][0].startswith(f"{estimate['requests']} requests")
    done = davault("backup", docs, "--json").document
    assert estimate["files"] == done["files"]
    assert estimate["stored_size"] == pytest.approx(done["stored_size"], rel=0.15, abs=3000)
    assert done["requests"] <= estimate["requests"] + 5


def test_a_dry_run_plans_the_same(davault: Any, docs: str) -> None:
    planned = davault("backup", docs, "--dry-run", "--json").document["planned"]
    estimated = davault("estimate", docs, "--json").document["stored_size"]
    assert planned["stored_size"] == pytest.approx(estimated, rel=0.01)  # times and ids compress a byte more or less
    assert estimated > 0
    assert "planned" not in davault("backup", docs, "--json").document


def test_an_estimate_for_people(davault: Any, docs: str) -> None:
    davault("backup", docs)
    said = davault("estimate", docs).stdout
    assert "requests" in said
    assert "about" in said
