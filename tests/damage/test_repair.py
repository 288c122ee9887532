"""Whatever is damaged: repair salvages what can be, makes nothing worse; a full backup heals what the source has."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backup_core.engine.archiver import BackupOptions, run_backup
from backup_core.errors import IndexIncomplete
from backup_core.format.ids import to_hex
from backup_core.format.layout import pack_name
from backup_core.format.snapshot import Snapshot
from backup_core.progress import CancelToken
from backup_core.repository.prune_plan import PruneBounds
from backup_core.repository.prune_run import prune
from backup_core.repository.repair.index import plan_index_repair, run_index_repair
from backup_core.repository.repair.packs import PacksReport, plan_packs_repair, run_packs_repair
from backup_core.repository.repair.snapshots import plan_snapshot_repair, run_snapshot_repair
from backup_core.repository.repository import Repository
from backup_core.results import BackupSummary
from backup_core.testing.faults import FaultyBackend, PowerCut, every_fault
from backup_core.types import BlobType

Damage = Callable[[dict[str, bytes], str], None]


def flip(objects: dict[str, bytes], name: str) -> None:
    content = bytearray(objects[name])
    content[len(content) // 3] ^= 0x10
    objects[name] = bytes(content)


def flip_header(objects: dict[str, bytes], name: str) -> None:
    content = bytearray(objects[name])
    content[-20] ^= 0x10
    objects[name] = bytes(content)


def cut(objects: dict[str, bytes], name: str) -> None:
    objects[name] = objects[name][: len(objects[name]) // 2]


def delete(objects: dict[str, bytes], name: str) -> None:
    del objects[name]


def swap(objects: dict[str, bytes], name: str) -> None:
    objects[name] = random.Random(4).randbytes(len(objects[name]))


SOME = [flip, flip_header, cut, delete]
"""The others are rows of docs/damage.md; here other programs look at what the repairs leave."""


def repair_index(patient: Any, repository: Repository) -> Any:
    wishes = {"progress": patient.progress, "cancel": CancelToken()}
    plan = plan_index_repair(repository, **wishes)
    if not plan.nothing_to_do:
        run_index_repair(repository, plan, **wishes)
    return plan


def repair_packs(patient: Any, repository: Repository, *, read_data: bool = True) -> PacksReport | None:
    wishes = {"progress": patient.progress, "cancel": CancelToken()}
    repository.load_index()
    plan = plan_packs_repair(repository, read_data=read_data, **wishes)
    if plan.nothing_to_do:
        return None
    return run_packs_repair(repository, plan, keep_in=patient.cache.parent / "damaged", **wishes)


def repair_snapshots(patient: Any, repository: Repository, *, forget: bool = False) -> list[Any]:
    wishes = {"progress": patient.progress, "cancel": CancelToken()}
    repository.load_index()
    plan = plan_snapshot_repair(repository, **wishes)
    return run_snapshot_repair(repository, plan, forget=forget, **wishes)


def full_backup(patient: Any, repository: Repository) -> BackupSummary:
    options = BackupOptions(sources=(str(patient.source),), kind="full", hostname="h", username="u", backup_id="again",
                            start_method="thread", workers=1)  # fmt: skip
    return run_backup(repository, options, clock=patient.clock, progress=patient.progress, cancel=CancelToken())


def is_whole(patient: Any, repository: Repository, snapshot: Snapshot) -> bool:
    patient.snapshot = snapshot
    return bool(patient.check(repository, "data").is_valid)


def assert_sound(patient: Any, tmp_path: Path, restic: Any) -> None:
    """restic, and a machine that knows nothing, find nothing wrong with the repository as a whole."""
    for name, content in patient.store.objects.items():
        path = tmp_path / "repository" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    for directory in ("data", "index", "keys", "locks", "snapshots"):
        (tmp_path / "repository" / directory).mkdir(exist_ok=True)
    restic.check(tmp_path / "repository", "secret")


@pytest.mark.parametrize("fresh", [True, False], ids=["unknown machine", "machine with cache"])
@pytest.mark.parametrize("damage", [cut, delete])
def test_the_index_is_made_anew(patient: Any, tmp_path: Path, damage: Damage, fresh: bool, restic_old: Any) -> None:
    for name in [name for name in patient.store.objects if name.startswith("index/")]:
        damage(patient.store.objects, name)
    with patient.open(fresh=fresh) as repository:
        plan = repair_index(patient, repository)
        assert plan.put_back or plan.to_list
    with patient.open(fresh=True) as repository:
        assert repository.load_index().complete
        assert is_whole(patient, repository, patient.snapshot)
        assert plan_index_repair(repository, progress=patient.progress, cancel=CancelToken()).nothing_to_do
    assert_sound(patient, tmp_path, restic_old)


@pytest.fixture
def regular(patient: Any) -> Any:
    """The patient with a backup as the program makes it, and no other."""
    with patient.open(fresh=True) as repository:
        made = full_backup(patient, repository).snapshot_id
        with repository.lock(exclusive=True):
            repository.remove_snapshot(patient.snapshot.id)
        prune(repository)
        patient.snapshot = repository.load_snapshot(made)
    return patient


@pytest.mark.parametrize("kind", [BlobType.DATA, BlobType.TREE])
@pytest.mark.parametrize("damage", SOME)
def test_packs_are_salvaged_and_a_full_backup_heals_the_rest(
    regular: Any, tmp_path: Path, damage: Damage, kind: BlobType, restic_old: Any
) -> None:
    patient = regular
    pack = patient.packs(kind)[0]
    damage(patient.store.objects, pack_name(pack))
    damaged = patient.store.objects.get(pack_name(pack))
    with patient.open(fresh=True) as repository:
        blobs = repository.load_index().pack_blobs(pack)
        repair_index(patient, repository)
        if damage is delete:
            assert repair_packs(patient, repository) is None  # the index no longer lists it
            lost = len(blobs)
        else:
            report = repair_packs(patient, repository)
            assert report is not None
            lost = len(report.lost)
            assert report.salvaged + lost == len(blobs)
            assert {flip: lost == 1, flip_header: lost == 0, cut: 0 < lost < len(blobs) or len(blobs) == 1}.get(
                damage, lost == len(blobs)
            )
            assert pack_name(pack) not in patient.store.objects
            if damaged:
                assert (patient.cache.parent / "damaged" / to_hex(pack)).read_bytes() == damaged
        again = full_backup(patient, repository)
        repository.load_index()
        old = patient.snapshot
        assert is_whole(patient, repository, repository.load_snapshot(again.snapshot_id))
        if kind is BlobType.DATA:
            assert is_whole(patient, repository, old)
            assert repair_snapshots(patient, repository) == []
        else:
            # The directories above the source may have other times by now, and so be others.
            for one in repair_snapshots(patient, repository, forget=True):
                assert one.hopeless or is_whole(patient, repository, repository.load_snapshot(one.repaired_as))
        prune(repository)
    assert_sound(patient, tmp_path, restic_old)


def test_what_a_cache_has_kept_of_a_lost_pack_is_stored_again(patient: Any) -> None:
    pack = patient.packs(BlobType.TREE)[0]
    swap(patient.store.objects, pack_name(pack))
    with patient.open(fresh=False) as repository:
        report = repair_packs(patient, repository)
        assert report is not None and report.salvaged and not report.lost
    with patient.open(fresh=True) as repository:
        repository.load_index()
        assert is_whole(patient, repository, patient.snapshot)


@pytest.mark.parametrize("forget", [False, True])
def test_what_the_source_no_longer_has_is_marked_as_lost(
    patient: Any, tmp_path: Path, forget: bool, restic_old: Any
) -> None:
    pack = patient.packs(BlobType.DATA)[0]
    users = patient.files_of(pack)
    delete(patient.store.objects, pack_name(pack))
    with patient.open(fresh=True) as repository:
        repair_index(patient, repository)
        done = repair_snapshots(patient, repository, forget=forget)
        assert [set(one.lost) for one in done] == [users]
        ids = {snapshot.id for snapshot in repository.snapshots()}
        assert ids == ({done[0].repaired_as} if forget else {patient.snapshot.id, done[0].repaired_as})
        copy = repository.load_snapshot(done[0].repaired_as)
        assert "repaired" in copy.tags and copy.original == done[0].snapshot.id
        assert is_whole(patient, repository, copy)
        assert repair_snapshots(patient, repository) == []  # once is enough
        out = tmp_path / "out"
        patient.restore(repository, out)
        restored = {p for p in out.rglob("*") if p.is_file()}
        for path in restored:
            original = patient.source / path.relative_to(out / "docs")
            if path.name.endswith(".incomplete"):
                assert str(original).removesuffix(".incomplete") in users
            else:
                assert str(original) not in users and path.read_bytes() == original.read_bytes()
        if forget:
            prune(repository)
    if forget:
        assert_sound(patient, tmp_path, restic_old)


def test_a_lost_directory_takes_nothing_else_with_it(patient: Any, tmp_path: Path) -> None:
    for pack in patient.packs(BlobType.TREE)[:1]:
        delete(patient.store.objects, pack_name(pack))
    with patient.open(fresh=True) as repository:
        repair_index(patient, repository)
        done = repair_snapshots(patient, repository)
        assert done and done[0].lost
        if not done[0].hopeless:
            assert is_whole(patient, repository, repository.load_snapshot(done[0].repaired_as))


def test_a_pack_in_no_index_is_found(patient: Any) -> None:
    for name in [name for name in patient.store.objects if name.startswith("index/")]:
        delete(patient.store.objects, name)
    pack = patient.packs(BlobType.DATA)
    assert pack == []
    with patient.open(fresh=True) as repository:
        plan = repair_index(patient, repository)
        assert len(plan.to_list) == len([name for name in patient.store.objects if name.startswith("data/")])


@pytest.mark.parametrize("listed", [True, False], ids=["the other is listed", "no index is left"])
def test_a_copy_of_a_pack_under_a_false_name_is_told_and_not_listed(patient: Any, listed: bool) -> None:
    objects = patient.store.objects
    true = pack_name(patient.packs(BlobType.DATA)[0])
    false = "f" * 64
    objects[f"data/ff/{false}"] = objects[true]
    if not listed:
        for name in [name for name in objects if name.startswith("index/")]:
            del objects[name]
    with patient.open(fresh=True) as repository:
        plan = repair_index(patient, repository)
        assert [(problem.kind, problem.object_id) for problem in plan.problems] == [("misnamed-pack", false)]
        assert bool(plan.to_list) is not listed
        packs = {pack_name(pack) for pack in repository.load_index().packs()}
        assert true in packs and f"data/ff/{false}" not in packs
        # What is told is true: it goes when pruning, and nothing else does.
        prune(repository, PruneBounds())
    assert true in objects and f"data/ff/{false}" not in objects


def test_junk_among_the_packs_is_told_and_left(patient: Any) -> None:
    junk = f"data/ab/ab{'0' * 62}"
    patient.store.objects[junk] = b"junk" * 100
    with patient.open(fresh=True) as repository:
        plan = repair_index(patient, repository)
    assert [(p.kind, p.object_id) for p in plan.problems] == [("unreadable-pack", junk[8:])]
    assert junk in patient.store.objects


def test_repairs_need_a_whole_index(patient: Any) -> None:
    for name in [name for name in patient.store.objects if name.startswith("index/")][:1]:
        flip(patient.store.objects, name)
    with patient.open(fresh=True) as repository, pytest.raises(IndexIncomplete):
        repair_packs(patient, repository)


@pytest.mark.parametrize("what", ["index", "packs"])
def test_an_interrupted_repair_makes_nothing_worse(patient: Any, tmp_path: Path, what: str) -> None:
    pack = patient.packs(BlobType.DATA)[0]
    cut(patient.store.objects, pack_name(pack))
    delete(patient.store.objects, pack_name(patient.packs(BlobType.DATA)[1]))
    index = next(name for name in patient.store.objects if name.startswith("index/"))
    if what == "index":
        flip(patient.store.objects, index)
    else:
        with patient.open(fresh=True) as repository:
            repair_index(patient, repository)
    whole = dict(patient.store.objects)
    work = repair_index if what == "index" else repair_packs

    def attempt(*faults: Any) -> FaultyBackend:
        patient.store.objects.clear()
        patient.store.objects.update(whole)
        backend = FaultyBackend(patient.store, *faults)
        options = patient.open(fresh=True)
        options.close()
        with Repository.open(
            backend, patient_password(), clock=patient.clock, random_bytes=random.Random(9).randbytes,
            options=options.options,
        ) as repository:  # fmt: skip
            if faults:
                with pytest.raises(PowerCut):
                    work(patient, repository)
            else:
                work(patient, repository)
        return backend

    clean = attempt()
    good = set(patient.check_files())
    for fault in every_fault(clean.count()):
        attempt(fault)
        with patient.open(fresh=True) as again:
            again.unlock(remove_all=True)
            repair_index(patient, again)
            repair_packs(patient, again)
        assert set(patient.check_files()) == good, fault


def patient_password() -> Any:
    from backup_core.types import Secret

    return Secret("secret")
