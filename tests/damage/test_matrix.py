"""Every row of docs/damage.md is what really happens: each kind of object, damaged in each way and place.

The page is the table of this test: a row that is not true fails, and so does one that is missing.
"""

from __future__ import annotations

import os
import random
import re
import shutil
from contextlib import suppress
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from backup_core.errors import BlobMissing, Corrupt, NotARepository, WrongKey
from backup_core.progress import CancelToken
from backup_core.repository.key_files import KeyFiles
from backup_core.repository.parity.objects import fault_of, find_parity
from backup_core.repository.repair.index import plan_index_repair, run_index_repair
from backup_core.repository.repair.packs import plan_packs_repair, run_packs_repair
from backup_core.repository.repository import Repository
from backup_core.results import Problem
from backup_core.storage.memory import MemoryBackend
from backup_core.testing.clocks import ManualClock

from .conftest import PASSWORD, Patient
from .ward import CHEAP, EVERYTHING, PACKS, Ward, backed_up, damaged, hit, make_ward

PAGE = Path(__file__).parents[2] / "docs" / "damage.md"
KINDS = ("config", "key", "lock", "index", "snapshot", *PACKS, "parity object", "run record")
UNOPENED = (WrongKey, Corrupt, NotARepository)


class Row(tuple[str, ...]):
    """object, damage, where | found by the machine that backs up, by another | lost, after repair, after a backup."""

    @property
    def case(self) -> tuple[str, str, str]:
        return self[0], self[1], self[2]


def wanted() -> list[tuple[str, str, str]]:
    """All cells that there are."""
    cells = []
    for kind in KINDS:
        places = ("blobs", "header", "length") if kind in PACKS else ("start", "middle", "end")
        cells += [(kind, damage, place) for damage, place in product(("flip", "truncate"), places)]
        cells += [(kind, damage, "") for damage in ("delete", "swap", "duplicate")]
    cells.remove(("config", "duplicate", ""))  # it has one name, and no other is looked at
    return cells


def rows() -> list[Row]:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    table = [line for line in lines if line.startswith("| ") and line.count("|") == 9]
    return [Row(cell.strip() for cell in line.strip("|").split("|")) for line in table[1:]]


@pytest.fixture(scope="session")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Ward:
    return make_ward(tmp_path_factory.mktemp("ward"))


# ---- looking


def found_by(patient: Patient, *, fresh: bool) -> str:
    """The least command that says that something is wrong."""
    try:
        repository = patient.open(fresh=fresh)
    except UNOPENED:
        return "any"
    with repository:
        unread: list[Problem] = []
        shown = repository.snapshots(problems=unread)
        if unread:
            return "`list`"
        if fresh:  # it knows no other backups than are shown
            patient = replace(patient, snapshot=shown[-1])
        for depth, command in (("quick", "`validate`"), ("data", "`validate --depth data`")):
            summary = patient.check(repository, depth)  # type: ignore[arg-type]
            if not summary.is_valid or summary.problems:
                return command
        found = find_parity(repository, problems=unread, cancel=CancelToken())
        whole = [one for one in found if one.whole]
        covered = frozenset[bytes]().union(*(one.packs for one in whole))
        if unread or len(whole) < len(found) or covered != frozenset(repository.index.packs()):
            return "`parity status`"
        if any(fault_of(repository, one) for one in found):
            return "`parity status --read-data`"
        if any(holder.file is None for holder in repository.lock_holders()):
            return "`health`"
    return "–"


def lost(ward: Ward, patient: Patient) -> set[str]:
    """The files of the backup that a machine which has never seen the repository cannot have."""
    try:
        with patient.open(fresh=True) as repository:
            snapshots = {s.id for s in repository.snapshots(problems=[])}
            if patient.snapshot.id not in snapshots:
                return set(EVERYTHING)
            summary = patient.check(repository, "data")
    except UNOPENED:
        return set(EVERYTHING)
    named = summary.damaged_files
    assert summary.files_passed == summary.files_checked - len(named)
    assert all(re.search("[0-9a-f]{16}", reason) for reason in named.values()), "each with the object behind it"
    whole = [ward.paths[p.rstrip("/") or "/"] for p in named if p.endswith("/")]
    return {p for p in named if not p.endswith("/")}.union(*whole)


def told(files: set[str], needed: set[str]) -> str:
    """The page's word for a set of lost files."""
    return "none" if not files else "hit" if files == needed else f"{sorted(files)} instead of {sorted(needed)}"


# ---- mending


def mended(patient: Patient, repository: Repository) -> None:
    """``unlock``, ``repair index``, ``repair packs --read-data``; for damaged keys ``key change``, ``key remove``."""
    how: dict[str, Any] = {"progress": patient.progress, "cancel": CancelToken()}
    repository.unlock()
    index = plan_index_repair(repository, **how)
    if not index.nothing_to_do:
        run_index_repair(repository, index, **how)
    repository.load_index()
    packs = plan_packs_repair(repository, read_data=True, **how)
    if not packs.nothing_to_do:
        run_packs_repair(repository, packs, keep_in=None, **how)
    keys = KeyFiles(repository)
    if not any(key.current and not key.damage for key in keys.list()):
        keys.change(PASSWORD, cost=CHEAP)
    for key in keys.list():
        if key.damage:
            keys.remove(key.id)


def restored(patient: Patient, missing: set[str], out: Path) -> None:
    """Whatever can be restored is right, and what is lost is not there, not even in part."""
    for fresh in (True, False):
        with suppress(*UNOPENED, BlobMissing), patient.open(fresh=fresh) as repository:
            patient.restore(repository, out)
            break
    for path in patient.source.rglob("*"):
        twin = out / path.relative_to(patient.source.parent)
        if twin.exists() and path.is_file():
            assert twin.read_bytes() == path.read_bytes()
            assert not fresh or str(path) not in missing
        elif path.is_file():
            assert missing


@pytest.fixture
def bed(ward: Ward, tmp_path: Path) -> Patient:
    """A copy to be damaged."""
    clock = ManualClock()
    clock.set(ward.patient.clock.now())
    store = MemoryBackend(clock=clock)
    store.objects |= ward.patient.store.objects
    cache = Path(shutil.copytree(ward.patient.cache, tmp_path / "cache"))
    return replace(ward.patient, store=store, clock=clock, cache=cache, rooms=[])


def test_the_page_has_every_cell() -> None:
    assert [row.case for row in rows()] == wanted()


def observed(ward: Ward, bed: Patient, case: tuple[str, str, str], out: Path) -> Row:
    needed = hit(ward, *case)
    damaged(ward, bed, *case)
    own, other = found_by(bed, fresh=False), found_by(bed, fresh=True)
    before = lost(ward, bed)
    restored(bed, before, out)
    bed.clock.advance(31 * 60)
    steps = [before]
    # The directories above the source are part of a backup; as a rule they have changed by the next one.
    os.utime(bed.source.parent, ns=(bed.clock.now().microsecond, random.Random(str(case)).randrange(10**18)))
    try:
        repository = bed.open(fresh=other != "any")
    except UNOPENED:
        assert case[0] == "config"
        steps += [before, before]
    else:
        with repository:
            mended(bed, repository)
            steps.append(lost(ward, bed))
            new = backed_up(bed, repository, "third")
        steps.append(lost(ward, bed))
        after = replace(bed, snapshot=new)
        with bed.open(fresh=True) as repository:
            repository.snapshots(problems=[])
            assert after.check(repository, "data").is_valid, "a new backup is always whole"
    assert steps[0] >= steps[1] >= steps[2], "nothing gets worse"
    return Row([*case, own, other, *(told(step, needed) for step in steps)])


@pytest.mark.parametrize("row", rows(), ids=lambda row: " ".join(filter(None, row.case)))
def test_every_row_is_true(ward: Ward, bed: Patient, tmp_path: Path, row: Row) -> None:
    assert observed(ward, bed, row.case, tmp_path / "out") == row
