"""A repository with one of everything twice, to be damaged in each way and place, and what each part of it is for."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from backup_core.clock import Clock
from backup_core.engine.archiver import BackupOptions, run_backup
from backup_core.format.index_file import decode_index
from backup_core.format.kdf import ScryptParameters
from backup_core.format.layout import FileKind, file_name, pack_name
from backup_core.format.lock_file import LockFile
from backup_core.format.snapshot import Snapshot
from backup_core.progress import CancelToken
from backup_core.repository.key_files import KeyFiles
from backup_core.repository.options import RepositoryOptions
from backup_core.repository.parity.making import plan_parity, run_parity
from backup_core.repository.parity.objects import find_parity
from backup_core.repository.repository import Repository
from backup_core.repository.sealed_records import RecordName, SealedRecords
from backup_core.storage.memory import MemoryBackend
from backup_core.testing.clocks import ManualClock
from backup_core.testing.trees import change_tree, make_tree
from backup_core.types import BlobType, Secret

from .conftest import PASSWORD, Patient

PACKS = ("data pack", "tree pack")
EVERYTHING = frozenset({"*"})
"""Lost files where the backup cannot even be opened."""
CHEAP = ScryptParameters(n=16, p=1, salt=bytes(64))


@dataclass(frozen=True)
class Ward:
    """A repository with one of everything twice, so that what is exchanged is genuine, and what each part is for."""

    patient: Patient
    targets: dict[str, tuple[str, str]]
    """Kind -> the object that is damaged, and another of its kind."""
    foreign_config: bytes
    paths: dict[str, set[str]]
    """Directory -> the files below it."""


def backed_up(patient: Patient, repository: Repository, name: str) -> Snapshot:
    options = BackupOptions(
        sources=(str(patient.source),), kind="full", hostname="h", username="u", backup_id=name,
        start_method="thread", workers=1,
    )  # fmt: skip
    done = run_backup(repository, options, clock=patient.clock, progress=patient.progress, cancel=CancelToken())
    return repository.load_snapshot(done.snapshot_id)


def protected(patient: Patient, repository: Repository) -> None:
    with repository.lock(exclusive=True) as held:
        repository.load_index()
        plan = plan_parity(repository, 0.5, find_parity(repository, problems=[], cancel=CancelToken()))
        run_parity(repository, plan, held, progress=patient.progress, cancel=CancelToken())


def created(store: MemoryBackend, clock: Clock, cache: Path, *, seed: int) -> Repository:
    options = RepositoryOptions(pack_size=32 * 1024, cache_directory=cache)
    return Repository.create(store, PASSWORD, clock=clock, random_bytes=random.Random(seed).randbytes, options=options)


def make_ward(place: Path) -> Ward:
    """Two backups of a small tree, with parity, records, keys and locks."""
    clock = ManualClock()
    patient = Patient(MemoryBackend(clock=clock), make_tree(place / "docs", files=10, largest=20_000), None, clock,  # type: ignore[arg-type]
                      place / "cache")  # fmt: skip
    foreign = MemoryBackend()
    created(foreign, clock, place / "foreign", seed=9).close()
    with created(patient.store, clock, place / "cache", seed=7) as repository:
        backed_up(patient, repository, "first")
        protected(patient, repository)
        change_tree(patient.source)
        (patient.source / "added.bin").write_bytes(random.Random(3).randbytes(20_000))
        patient.snapshot = backed_up(patient, repository, "second")
        protected(patient, repository)
        own_key = file_name(FileKind.KEY, repository.key_id)
        KeyFiles(repository).add(Secret("another"), cost=CHEAP)
        for number in (1, 2):
            SealedRecords(repository).write(RecordName("ab" * 8, number), b"{}" * number)
        locks = [_foreign_lock(patient, repository, minutes) for minutes in (1, 2)]
        repository.snapshots()
        patient.check(repository, "quick")  # so that its cache knows all there is
        tree = next(p for p in repository.index.packs() if repository.index.find(patient.snapshot.tree).pack == p)
    names = patient.store.objects
    tree_pack = pack_name(tree)
    data_pack = pack_name(patient.packs(BlobType.DATA)[0])

    def others(start: str, name: str, among: list[str] | None = None) -> tuple[str, str]:
        return name, next(n for n in among or sorted(names) if n.startswith(start) and n != name)

    index = max((n for n in names if n.startswith("index/")), key=lambda n: len(names[n]))
    parity = max((n for n in names if n.startswith("parity/")), key=lambda n: len(names[n]))
    targets = {
        "config": ("config", ""),
        "key": others("keys/", own_key),
        "lock": (locks[0], locks[1]),
        "index": others("index/", index),
        "snapshot": others("snapshots/", f"snapshots/{patient.snapshot.id}"),
        "data pack": others("data/", data_pack, [pack_name(p) for p in patient.packs(BlobType.DATA)]),
        "tree pack": others("data/", tree_pack, [pack_name(p) for p in patient.packs(BlobType.TREE)]),
        "parity object": others("parity/", parity),
        "run record": (RecordName("ab" * 8, 2).path, RecordName("ab" * 8, 1).path),
    }
    with patient.open(fresh=True) as repository:
        repository.load_index()
        paths: dict[str, set[str]] = {"/": set()}
        for path, node in patient._nodes(repository):
            above = [str(p) for p in Path(path).parents]
            if node.type == "dir":
                paths[path] = set()
            else:
                for directory in above:
                    paths.setdefault(directory, set()).add(path)
    return Ward(patient, targets, foreign.objects["config"], paths)


def _foreign_lock(patient: Patient, repository: Repository, minutes: int) -> str:
    file = LockFile(patient.clock.now() + timedelta(minutes=minutes), False, "elsewhere", "u", 1, 0, 0)
    return file_name(FileKind.LOCK, repository.files.write(FileKind.LOCK, file.encode()))


def damaged(ward: Ward, patient: Patient, kind: str, damage: str, place: str) -> None:
    """Do it; what is put there is dated by the server."""
    name, sibling = ward.targets[kind]
    objects = patient.store.objects
    for lock in ward.targets["lock"]:
        content = objects.pop(lock)
        if kind == "lock":
            patient.store.put(lock, content)
    content = objects[name]
    at = _offset(patient, kind, name, place)
    if damage == "flip":
        patient.store.put(name, content[:at] + bytes([content[at] ^ 0x10]) + content[at + 1 :])
    elif damage == "truncate":
        patient.store.put(name, content[:at])
    elif damage == "delete":
        patient.store.delete(name)
    elif damage == "swap":
        other = objects[sibling] if sibling else ward.foreign_config
        patient.store.put(name, other)
        if sibling:
            patient.store.put(sibling, content)
    else:
        patient.store.put(_free_name(kind, name), content)


def _free_name(kind: str, name: str) -> str:
    if kind == "run record":
        return RecordName("ab" * 8, 3).path
    folder, _, digits = name.rpartition("/")
    return f"{folder}/{digits[:-4]}{'0000' if digits[-4:] != '0000' else 'ffff'}"


def _offset(patient: Patient, kind: str, name: str, place: str) -> int:
    """Where a flip hits, or the length that is left by a cut."""
    content = patient.store.objects[name]
    if kind not in PACKS:
        return {"start": 0, "middle": len(content) // 2, "end": len(content) - 1}.get(place, 0)
    header = int.from_bytes(content[-4:], "little")
    blobs = (len(content) - 4 - header) // 2
    return {"blobs": blobs, "header": len(content) - 4 - header // 2, "length": len(content) - 2}.get(place, 0)


def hit(ward: Ward, kind: str, damage: str, place: str) -> set[str]:
    """The files that need the bytes that were hit."""
    if damage == "duplicate" or kind not in ("config", "key", "snapshot", "index", *PACKS):
        return set()
    if kind in ("config", "key", "snapshot"):
        return set(EVERYTHING)
    patient = ward.patient
    name, sibling = ward.targets[kind]
    names = {name, sibling} if damage == "swap" else {name}
    at = _offset(patient, kind, name, place)
    whole = kind == "index" or damage in ("delete", "swap")
    with patient.open(fresh=True) as repository:
        index = repository.load_index()
        packs = [p for p in index.packs() if pack_name(p) in names]
        if kind == "index":
            read = (repository.files.read(FileKind.INDEX, n.partition("/")[2]) for n in names)
            packs = [pack for data in read for pack, _ in decode_index(data)]
        bad = {
            b.id
            for pack in packs
            for b in index.pack_blobs(pack)
            if whole or (b.offset + b.length > at if damage == "truncate" else b.offset <= at < b.offset + b.length)
        }
        nodes = patient._nodes(repository)
    directories = [p for p, node in nodes if node.subtree in bad] + ["/"] * (patient.snapshot.tree in bad)
    files = {p for p, node in nodes if bad.intersection(node.content or ())}
    return files.union(*(ward.paths[p] for p in directories))
