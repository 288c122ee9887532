"""Every kind of object, damaged in every way: found at the promised depth, named, and no hindrance to the rest."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from backup_core.errors import BackupError, BlobMissing, Corrupt, NotARepository, WrongKey
from backup_core.format.ids import to_hex
from backup_core.format.layout import pack_name
from backup_core.results import Outcome
from backup_core.types import BlobType

Damage = Callable[[dict[str, bytes], str], None]


def flip(objects: dict[str, bytes], name: str, at: int | None = None) -> None:
    content = bytearray(objects[name])
    content[len(content) // 3 if at is None else at] ^= 0x10
    objects[name] = bytes(content)


def cut(objects: dict[str, bytes], name: str) -> None:
    objects[name] = objects[name][: len(objects[name]) // 2]


def shave(objects: dict[str, bytes], name: str) -> None:
    objects[name] = objects[name][:-1]


def empty(objects: dict[str, bytes], name: str) -> None:
    objects[name] = b""


def grow(objects: dict[str, bytes], name: str) -> None:
    objects[name] += b"\0"


def delete(objects: dict[str, bytes], name: str) -> None:
    del objects[name]


def swap(objects: dict[str, bytes], name: str) -> None:
    """Other content of the right size, as after a mix-up on the server."""
    objects[name] = random.Random(4).randbytes(len(objects[name]))


ALL = [flip, cut, shave, empty, grow, delete, swap]
SEEN_BY_SIZE = [cut, shave, empty, grow, delete]


def restored_right(source: Path, out: Path, lost: set[str]) -> None:
    """Every file that is not lost is back, and no lost one is, not even in part."""
    for path in source.rglob("*"):
        twin = out / path.relative_to(source)
        if path.is_file():
            if str(path) in lost:
                assert not twin.exists()
            else:
                assert twin.read_bytes() == path.read_bytes()
    assert not list(out.rglob(".davault-*"))


def shown(failed, patient) -> set[str]:
    return {str(patient.source.parent / path) for path in failed}


@pytest.mark.parametrize("damage", ALL)
def test_data_packs(patient, tmp_path: Path, damage: Damage) -> None:
    pack = patient.packs(BlobType.DATA)[0]
    name = pack_name(pack)
    size = len(patient.store.objects[name])
    users = patient.files_of(pack)
    lost = {
        flip: patient.files_of(pack, lambda start, end: start <= size // 3 < end),
        cut: patient.files_of(pack, lambda start, end: end > size // 2),
        shave: set(),
        grow: set(),
    }.get(damage, users)
    damage(patient.store.objects, name)
    repository = patient.open(fresh=True)
    quick = patient.check(repository, "quick")
    if damage in SEEN_BY_SIZE:
        assert set(quick.damaged_files) == users
        assert all(to_hex(pack)[:16] in reason for reason in quick.damaged_files.values())
    assert quick.is_valid is (damage not in SEEN_BY_SIZE)
    data = patient.check(repository, "data")
    assert not data.is_valid
    assert set(data.damaged_files) == lost
    assert all(to_hex(pack)[:16] in reason for reason in data.damaged_files.values())
    assert to_hex(pack) in {problem.object_id for problem in data.problems}
    assert data.files_checked == len(patient.files())
    assert data.files_passed == data.files_checked - len(lost)
    summary = patient.restore(repository, tmp_path / "out")
    assert shown(summary.failed, patient) == lost
    assert summary.outcome is (Outcome.COMPLETED_WITH_PROBLEMS if lost else Outcome.COMPLETED)
    assert {p.object_id for p in summary.problems} == ({to_hex(pack)} if lost else set())
    restored_right(patient.source, tmp_path / "out" / "docs", lost)


def test_a_damaged_pack_header_is_found_and_costs_no_file(patient, tmp_path: Path) -> None:
    pack = patient.packs(BlobType.DATA)[0]
    flip(patient.store.objects, pack_name(pack), at=-20)
    repository = patient.open(fresh=True)
    assert patient.check(repository, "quick").is_valid
    data = patient.check(repository, "data")
    assert not data.is_valid
    assert data.damaged_files == {}
    assert "header" in " ".join(problem.message for problem in data.problems)
    assert patient.restore(repository, tmp_path / "out").outcome is Outcome.COMPLETED
    restored_right(patient.source, tmp_path / "out" / "docs", set())


@pytest.mark.parametrize("fresh", [True, False], ids=["unknown machine", "machine with cache"])
@pytest.mark.parametrize("damage", ALL)
def test_tree_packs(patient, tmp_path: Path, damage: Damage, fresh: bool) -> None:
    pack = patient.packs(BlobType.TREE)[0]
    damage(patient.store.objects, pack_name(pack))
    repository = patient.open(fresh=fresh)
    quick = patient.check(repository, "quick")
    if damage in SEEN_BY_SIZE:
        assert not quick.is_valid
        assert quick.files_passed == 0
    data = patient.check(repository, "data")
    assert not data.is_valid
    assert to_hex(pack) in {problem.object_id for problem in data.problems}
    if damage in (delete, empty, swap):
        assert data.files_passed == 0
        assert data.damaged_files
    if not fresh:
        # This machine knows its directories by heart, and can restore without the server's copy.
        assert patient.restore(repository, tmp_path / "out").outcome is Outcome.COMPLETED
        restored_right(patient.source, tmp_path / "out" / "docs", set())
    elif damage in (delete, empty, swap):
        with pytest.raises((Corrupt, BlobMissing)):
            patient.restore(repository, tmp_path / "out")


def test_one_damaged_directory_costs_only_what_is_in_it(patient, tmp_path: Path) -> None:
    directory = max((p for p in patient.source.rglob("*") if p.is_dir()), key=lambda p: len(list(p.rglob("*"))))
    repository = patient.open(fresh=True)
    index = repository.load_index()
    tree = dict(patient._nodes(repository))[str(directory)].subtree
    place = index.find(tree)
    flip(patient.store.objects, pack_name(place.pack), at=place.offset + place.length // 2)
    repository = patient.open(fresh=True)
    lost = {str(p) for p in directory.rglob("*") if p.is_file()}
    quick = patient.check(repository, "quick")
    assert list(quick.damaged_files) == [f"{directory}/"]
    assert to_hex(place.pack)[:16] in quick.damaged_files[f"{directory}/"]
    summary = patient.restore(repository, tmp_path / "out")
    assert shown(summary.failed, patient) == {str(directory)}
    restored_right(patient.source, tmp_path / "out" / "docs", lost)
    # A machine that has the directory in its cache can even tell the names.
    known = patient.check(patient.open(fresh=False), "data")
    assert set(known.damaged_files) == lost
    assert patient.restore(patient.open(fresh=False), tmp_path / "again").outcome is Outcome.COMPLETED


@pytest.mark.parametrize("damage", ALL)
def test_index_files(patient, tmp_path: Path, damage: Damage) -> None:
    (name,) = (n for n in patient.store.objects if n.startswith("index/"))
    damage(patient.store.objects, name)
    known = patient.open(fresh=False)
    known.load_index(problems=[])
    if damage is not delete:
        # The local copy is good: only fetching the file again can show the damage.
        assert patient.check(known, "quick").is_valid
        data = patient.check(known, "data")
        assert not data.is_valid
        assert data.damaged_files == {}
        assert [p.kind for p in data.problems] == ["damaged-index"]
        assert patient.restore(known, tmp_path / "out").outcome is Outcome.COMPLETED
    fresh = patient.check(patient.open(fresh=True), "quick")
    assert not fresh.is_valid
    assert fresh.files_passed == 0
    if damage is not delete:
        assert name.partition("/")[2] in {problem.object_id for problem in fresh.problems}
    with pytest.raises(BackupError):
        patient.restore(patient.open(fresh=True), tmp_path / "fresh")


@pytest.mark.parametrize("damage", ALL)
def test_snapshot_files(patient, tmp_path: Path, damage: Damage) -> None:
    name = f"snapshots/{patient.snapshot.id}"
    damage(patient.store.objects, name)
    known = patient.open(fresh=False)
    quick, data = (patient.check(known, depth) for depth in ("quick", "data"))
    assert quick.is_valid is (damage is not delete)
    assert not data.is_valid
    assert data.damaged_files == {}
    assert [p.object_id for p in data.problems] == [patient.snapshot.id]
    # Whoever still holds the snapshot can restore it.
    assert patient.restore(known, tmp_path / "out").outcome is Outcome.COMPLETED
    fresh = patient.open(fresh=True)
    problems = []
    assert fresh.snapshots(problems=problems) == []
    assert [p.object_id for p in problems] == ([] if damage is delete else [patient.snapshot.id])


@pytest.mark.parametrize("damage", ALL)
def test_key_files(patient, damage: Damage) -> None:
    (name,) = (n for n in patient.store.objects if n.startswith("keys/"))
    damage(patient.store.objects, name)
    # This machine has a copy of the key, and says that the server's is of no use.
    known = patient.open(fresh=False)
    assert patient.check(known, "quick").is_valid is (damage is not delete)
    data = patient.check(known, "data")
    assert not data.is_valid
    assert {p.object_id for p in data.problems} == {name.partition("/")[2]}
    with pytest.raises((WrongKey, Corrupt, NotARepository)):
        patient.open(fresh=True)


@pytest.mark.parametrize("damage", ALL)
def test_the_config(patient, damage: Damage) -> None:
    known = patient.open(fresh=False)
    damage(patient.store.objects, "config")
    data = patient.check(known, "data")
    assert not data.is_valid
    assert [p.kind for p in data.problems] == ["damaged-config"]
    for fresh in (True, False):
        with pytest.raises((WrongKey, Corrupt, NotARepository)):
            patient.open(fresh=fresh)


def test_a_blob_with_a_second_copy_is_read_from_there(patient, tmp_path: Path) -> None:
    repository = patient.open(fresh=True)
    index = repository.load_index()
    pack = patient.packs(BlobType.DATA)[0]
    blobs = index.pack_blobs(pack)
    copies = {blob.id: repository.read_blob(blob.id, BlobType.DATA) for blob in blobs}
    # As two machines do that back up the same file at the same time: neither knows of the other's blobs.
    with repository.lock(), repository.uploader() as uploader:
        index.hide_packs(index.packs())
        store = repository.blob_store(uploader)
        for data in copies.values():
            store.save_blob(BlobType.DATA, data)
        store.flush()
        uploader.finish()
    swap(patient.store.objects, pack_name(pack))
    repository = patient.open(fresh=True)
    data = patient.check(repository, "data")
    assert data.damaged_files == {}
    assert not data.is_valid  # the pack is damaged all the same
    summary = patient.restore(repository, tmp_path / "out")
    assert summary.outcome is Outcome.COMPLETED
    restored_right(patient.source, tmp_path / "out" / "docs", set())
