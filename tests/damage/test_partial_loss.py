"""Damage that costs less than everything: one directory, or a blob of which there is another copy."""

from __future__ import annotations

import random
from pathlib import Path

from backup_core.format.ids import to_hex
from backup_core.format.layout import pack_name
from backup_core.results import Outcome
from backup_core.types import BlobType


def flip(objects: dict[str, bytes], name: str, at: int) -> None:
    content = bytearray(objects[name])
    content[at] ^= 0x10
    objects[name] = bytes(content)


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
    objects = patient.store.objects
    objects[pack_name(pack)] = random.Random(4).randbytes(len(objects[pack_name(pack)]))
    repository = patient.open(fresh=True)
    data = patient.check(repository, "data")
    assert data.damaged_files == {}
    assert not data.is_valid  # the pack is damaged all the same
    summary = patient.restore(repository, tmp_path / "out")
    assert summary.outcome is Outcome.COMPLETED
    restored_right(patient.source, tmp_path / "out" / "docs", set())
