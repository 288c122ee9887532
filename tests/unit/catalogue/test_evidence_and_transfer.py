"""Which backups are gone and why, and rows that travel from one catalogue to another."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from backup_core.catalogue import open_catalogue
from backup_core.catalogue.backups import KnownBackup
from backup_core.catalogue.catalogue import Catalogue
from backup_core.catalogue.evidence_rows import Fate, GoneSnapshotRow
from backup_core.catalogue.rows import RunRow
from backup_core.catalogue.transfer import CarriedTable

NOW = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)
RUNS = CarriedTable(
    RunRow, identity=("configuration", "started_at"), newest_first="started_at", owner="configuration", most=3,
    ended="ended_at", shortened={"problems": 1},
)  # fmt: skip


def backup(name: str, *, day: int = 0) -> KnownBackup:
    return KnownBackup(
        snapshot_id=name * 64, repository_id="r", backup_id=f"docs_{name}", configuration="docs",
        backup_type="full", created_at=NOW + timedelta(days=day),
    )  # fmt: skip


def fates(catalogue: Catalogue) -> dict[str, str]:
    return {row.backup_id: row.fate for row in catalogue.evidence.gone(repository_id="r")}


def test_a_word_given_before_counts_and_a_theft_is_noted_once(catalogue: Catalogue) -> None:
    evidence = catalogue.evidence
    assert evidence.note([backup("a")], Fate.FORGOTTEN, at=NOW, hostname="here", reason="too many")
    vanished = [backup("a"), backup("b")]
    assert [row.backup_id for row in evidence.note(vanished, Fate.VANISHED, at=NOW, hostname="here")] == ["docs_b"]
    assert evidence.note(vanished, Fate.VANISHED, at=NOW, hostname="there") == []
    assert fates(catalogue) == {"docs_a": "forgotten", "docs_b": "vanished"}
    evidence.accept(["a" * 64, "b" * 64, "c" * 64], at=NOW, hostname="here")
    assert fates(catalogue) == {"docs_a": "forgotten", "docs_b": "accepted"}
    evidence.back(["b" * 64, "z" * 64])
    assert fates(catalogue) == {"docs_a": "forgotten"}
    (row,) = evidence.gone(fate=Fate.FORGOTTEN, configuration="docs")
    assert (row.reason, row.at, row.created_at) == ("too many", NOW, NOW)


def test_what_others_recorded_is_taken_over(catalogue: Catalogue) -> None:
    catalogue.evidence.note([backup("a"), backup("b")], Fate.VANISHED, at=NOW, hostname="here")
    told = [
        GoneSnapshotRow(
            snapshot_id=name * 64, repository_id="r", backup_id=f"docs_{name}", configuration="docs", created_at=NOW,
            fate=fate.value, at=NOW, hostname="there",
        )
        for name, fate in (("a", Fate.FORGOTTEN), ("b", Fate.VANISHED), ("c", Fate.FORGOTTEN))
    ]  # fmt: skip
    assert catalogue.evidence.restore(told) == 1
    assert fates(catalogue) == {"docs_a": "forgotten", "docs_b": "vanished", "docs_c": "forgotten"}


def test_a_mirror_says_what_is_gone(catalogue: Catalogue) -> None:
    assert catalogue.manifests.mirror("r", [backup("a"), backup("b", day=1)]) == []
    assert [row.backup_id for row in catalogue.manifests.mirror("r", [backup("b")])] == ["docs_a"]
    assert catalogue.manifests.mirror("r", [], keep=None) == []


def run(day: int, *, ended: bool = True, **fields: object) -> RunRow:
    begun = NOW + timedelta(days=day)
    return RunRow(
        kind="backup", configuration="docs", started_at=begun, ended_at=begun if ended else None, pid=77,
        problems=[{"kind": "x"}, {"kind": "y"}], error="\udcff", figures={"files": day}, **fields,
    )  # fmt: skip


def test_rows_travel_as_plain_values(catalogue: Catalogue) -> None:
    for day in range(5):
        catalogue.history.begin_run(run(day))
    catalogue.history.begin_run(run(9, ended=False))
    catalogue.history.begin_run(RunRow(kind="backup", configuration="other", started_at=NOW, ended_at=NOW))
    rows = catalogue.transfer.export(RUNS, ["docs"])
    assert [row["figures"]["files"] for row in rows] == [4, 3, 2]
    assert all("id" not in row and "pid" not in row and len(row["problems"]) == 1 for row in rows)
    carried = json.loads(json.dumps(rows))
    carried.append({"kind": "backup"})  # another version's, without what a row must have
    carried[0]["of_tomorrow"] = 1
    del carried[1]["hostname"]
    other = open_catalogue("sqlite://")
    assert other.transfer.count_new(RUNS, carried) == 3
    assert other.transfer.add(RUNS, carried) == 3
    assert other.transfer.add(RUNS, carried) == 0
    (newest, *_) = other.history.runs("docs")
    assert (newest.started_at, newest.figures, newest.pid) == (NOW + timedelta(days=4), {"files": 4}, 0)
    assert catalogue.transfer.add(RUNS, carried) == 0
    other.close()
