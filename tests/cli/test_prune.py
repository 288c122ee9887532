"""Backups are forgotten, and ``davault prune`` gives back their room."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from backup_core.errors import ConfigError
from backup_core.repository.prune_plan import PruneBounds
from backup_core.services.application import open_application
from backup_core.services.retention.pruning import bounds_from


def stored(tmp_path: Path) -> int:
    return sum(path.stat().st_size for path in (tmp_path / "store").rglob("data/*/*"))


def test_forget_and_prune_give_back_the_room(davault, docs: str, source: Path, tmp_path: Path) -> None:
    (source / "old").write_bytes(os.urandom(300_000))
    davault("backup", docs)
    (source / "old").unlink()
    (source / "new").write_bytes(os.urandom(100_000))
    davault("backup", docs)
    assert davault("prune", docs, "--json").document["freed_bytes"] == 0
    with open_application() as app:
        assert app.manager.cleanup_old_backups(docs, keep_count=1) == 1
    before = stored(tmp_path)
    planned = davault("prune", docs, "--dry-run", "--max-unused", "0", "--json").document
    assert planned["dry_run"] is True
    assert planned["freed_bytes"] > 300_000
    assert stored(tmp_path) == before
    done = davault("prune", docs, "--max-unused", "0", "--json").document
    assert (done["dry_run"], done["freed_bytes"], done["unused_bytes"]) == (False, planned["freed_bytes"], 0)
    assert before - stored(tmp_path) == pytest.approx(done["freed_bytes"], abs=1000)
    with open_application() as app:
        assert app.manager.get_storage_usage().total_size == stored(tmp_path)
    assert davault("validate", "--all", "--depth", "data", "--json").document["is_valid"] is True
    davault("restore", docs, "--target", tmp_path / "out")
    assert (tmp_path / "out" / "docs" / "new").read_bytes() == (source / "new").read_bytes()
    assert davault("prune", docs, "--json").document["deleted_packs"] == 0


def test_an_amount_that_is_none_is_refused(davault, docs: str) -> None:
    assert "5%, 500M, 0 or unlimited" in davault("prune", docs, "--max-unused", "much", code=5).stderr
    assert "100 %" in davault("prune", docs, "--max-unused", "200%", code=5).stderr


def test_amounts_of_unused_data() -> None:
    assert bounds_from("2.5%") == PruneBounds(0.025)
    assert bounds_from("500M") == PruneBounds(None, 500 * 1024**2)
    assert bounds_from("0") == PruneBounds(None, 0)
    assert bounds_from("Unlimited") == PruneBounds(None)
    with pytest.raises(ConfigError):
        bounds_from("-1")


def test_bounds_of_a_prune(davault, docs: str, source: Path) -> None:
    davault("backup", docs)
    (source / "more").write_bytes(os.urandom(200_000))
    davault("backup", docs)
    davault("cleanup", docs, "--keep-last", "1", "--yes")
    document = davault("prune", docs, "--dry-run", "--max-unused", "0", "--max-repack-size", "0", "--json").document
    assert document["repacked_bytes"] == 0
    document = davault("prune", docs, "--max-unused", "0", "--max-requests", "0", "--json").document
    assert (document["planned_requests"], document["freed_bytes"]) == ({"copy": 0, "index": 0, "delete": 0}, 0)
    assert "most bytes to copy" in davault("prune", docs, "--max-repack-size", "much", code=5).stderr
    assert "must not be negative" in davault("prune", docs, "--max-requests", "-1", code=5).stderr


def test_what_vanished_keeps_its_data_until_a_person_accepts_it(
    davault, docs: str, source: Path, tmp_path: Path
) -> None:
    stolen = davault("backup", docs, "--json").document["snapshot_id"]
    (source / "more").write_bytes(os.urandom(200_000))
    davault("backup", docs)
    (tmp_path / "store" / "backups" / "snapshots" / stolen).unlink()
    before = stored(tmp_path)
    ended = davault("prune", docs, "--max-unused", "0", code=1)
    assert f"davault vanished --accept {stolen[:8]}" in ended.stderr
    assert stored(tmp_path) == before
    davault("prune", docs, "--dry-run")
    davault("vanished", "--accept", stolen[:8])
    davault("prune", docs, "--max-unused", "0")
