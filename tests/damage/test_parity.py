"""With parity, damaged and lost packs come back as they were - up to the share that was asked for, and never wrong."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from backup_core.errors import RepositoryError
from backup_core.format.ids import to_hex
from backup_core.format.layout import pack_name
from backup_core.progress import CancelToken
from backup_core.repository.parity import making, objects
from backup_core.repository.parity.making import ParityReport, plan_parity, run_parity
from backup_core.repository.parity.objects import find_parity
from backup_core.repository.parity.rebuilding import Rebuilt, rebuild_packs
from backup_core.repository.repository import Repository
from backup_core.results import Problem
from backup_core.testing.faults import Fault, FaultyBackend, PowerCut, every_fault
from backup_core.types import PackId


def make(patient: Any, repository: Repository, share: float = 0.5) -> ParityReport:
    problems: list[Problem] = []
    with repository.lock(exclusive=True) as held:
        repository.load_index()
        plan = plan_parity(repository, share, find_parity(repository, problems=problems, cancel=CancelToken()))
        report = run_parity(repository, plan, held, progress=patient.progress, cancel=CancelToken())
    report.problems += problems
    return report


def rebuild(patient: Any, packs: list[PackId]) -> Rebuilt:
    with patient.open(fresh=True) as repository, repository.lock(exclusive=True) as held:
        repository.load_index()
        objects = find_parity(repository, problems=[], cancel=CancelToken())
        return rebuild_packs(repository, packs, objects, held, progress=patient.progress, cancel=CancelToken())


def flip(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        flip,
        lambda content: content[: len(content) // 2],
        lambda content: b"",
        lambda content: content + b"more",
        lambda content: random.Random(1).randbytes(len(content)),
        None,
    ],
    ids=["flip", "cut", "empty", "longer", "swap", "delete"],
)
def test_a_damaged_pack_comes_back(patient: Any, damage: Callable[[bytes], bytes] | None) -> None:
    with patient.open(fresh=True) as repository:
        assert make(patient, repository).problems == []
        packs = sorted(repository.index.packs())
    before = dict(patient.store.objects)
    victim = packs[len(packs) // 2]
    if damage is None:
        del patient.store.objects[pack_name(victim)]
    else:
        patient.store.objects[pack_name(victim)] = damage(before[pack_name(victim)])
    done = rebuild(patient, [victim])
    assert (done.packs, done.failed) == ([victim], {})
    assert {n: v for n, v in patient.store.objects.items() if n.startswith("data/")} == {
        n: v for n, v in before.items() if n.startswith("data/")
    }
    assert patient.check_files() == set()


def test_too_much_damage_is_told_and_makes_nothing_worse(patient: Any) -> None:
    with patient.open(fresh=True) as repository:
        make(patient, repository, share=0.05)
        packs = sorted(repository.index.packs())
    for pack in packs:
        patient.store.objects[pack_name(pack)] = flip(patient.store.objects[pack_name(pack)])[:-50]
    before = dict(patient.store.objects)
    lost = packs[: len(packs) // 2]
    for pack in lost:
        del patient.store.objects[pack_name(pack)]
    done = rebuild(patient, packs)
    assert done.packs == [] and set(done.failed.values()) == {"more of its group is damaged than there is parity for"}
    assert patient.store.objects == {n: v for n, v in before.items() if n not in set(map(pack_name, lost))}


def test_damaged_parity_is_noticed_and_its_whole_cells_still_help(patient: Any) -> None:
    with patient.open(fresh=True) as repository:
        make(patient, repository)
        packs = sorted(repository.index.packs())
    name = next(n for n in patient.store.objects if n.startswith("parity/"))
    content = bytearray(patient.store.objects[name])
    content[3] ^= 1  # its beginning: the header at its end is read
    content[len(content) // 2] ^= 1  # and one cell
    patient.store.objects[name] = bytes(content)
    patient.store.objects[pack_name(packs[0])] = flip(patient.store.objects[pack_name(packs[0])])
    assert rebuild(patient, [packs[0]]).packs == [packs[0]]
    patient.store.objects[name] = b"nothing of it"
    patient.store.objects[pack_name(packs[0])] = flip(patient.store.objects[pack_name(packs[0])])
    assert rebuild(patient, [packs[0]]).failed == {packs[0]: "there is no parity for it"}
    with patient.open(fresh=True) as repository:
        problems: list[Problem] = []
        assert find_parity(repository, problems=problems, cancel=CancelToken()) == []
        assert [p.object_id for p in problems] == [name]
        with repository.lock(exclusive=True) as held:
            repository.load_index()
            plan = plan_parity(repository, 0.5, [], useless=[name])
            report = run_parity(repository, plan, held, progress=patient.progress, cancel=CancelToken())
        assert [p.object_id for p in report.problems] == [to_hex(packs[0])] and report.removed == 1


def without(monkeypatch: pytest.MonkeyPatch, repository: Repository, gone: PackId) -> None:
    """As if a pack had been pruned."""
    sizes = [(pack, size) for pack, size in repository.index.pack_sizes() if pack != gone]
    monkeypatch.setattr(repository.index, "pack_sizes", lambda: iter(sizes))


def test_it_is_made_once_and_replaced_when_packs_are_gone(patient: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with patient.open(fresh=True) as repository:
        first = make(patient, repository)
        assert (first.objects, first.packs) == (1, len(list(repository.index.packs())))
        assert make(patient, repository) == ParityReport()
        name = next(n for n in patient.store.objects if n.startswith("parity/"))
        without(monkeypatch, repository, min(repository.index.packs()))
        problems: list[Problem] = []
        with repository.lock(exclusive=True) as held:
            plan = plan_parity(repository, 0.5, find_parity(repository, problems=problems, cancel=CancelToken()))
            assert [one.name for one in plan.stale] == [name]
            report = run_parity(repository, plan, held, progress=patient.progress, cancel=CancelToken())
        assert (report.objects, report.removed) == (1, 1)
        assert name not in patient.store.objects


def test_a_damaged_pack_gets_none_and_keeps_the_old_one(patient: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with patient.open(fresh=True) as repository:
        make(patient, repository)
        old = next(n for n in patient.store.objects if n.startswith("parity/"))
        packs = sorted(repository.index.packs())
        patient.store.objects[pack_name(packs[0])] = flip(patient.store.objects[pack_name(packs[0])])
        without(monkeypatch, repository, packs[-1])
        with repository.lock(exclusive=True) as held:
            plan = plan_parity(repository, 0.5, find_parity(repository, problems=[], cancel=CancelToken()))
            report = run_parity(repository, plan, held, progress=patient.progress, cancel=CancelToken())
    assert [p.object_id for p in report.problems] == [to_hex(packs[0])]
    assert report.removed == 0 and old in patient.store.objects
    assert rebuild(patient, [packs[0]]).packs == [packs[0]]


def test_a_crash_anywhere_leaves_backups_whole_and_the_next_run_goes_on(patient: Any) -> None:
    whole = dict(patient.store.objects)

    def attempt(*faults: Fault) -> int:
        patient.store.objects.clear()
        patient.store.objects.update(whole)
        faulty = FaultyBackend(patient.store, *faults)
        machine = replace(patient, store=faulty)
        with suppress(PowerCut), machine.open(fresh=True) as repository:
            make(machine, repository)
        return faulty.count()

    kept = ("data", "index", "snapshots")
    for fault in every_fault(attempt()):
        attempt(fault)
        for name, content in whole.items():
            assert not name.startswith(kept) or patient.store.objects[name] == content, fault
        with patient.open(fresh=True) as repository:
            repository.unlock(remove_all=True)
            make(patient, repository)
            found = find_parity(repository, problems=[], cancel=CancelToken())
            covered = frozenset().union(*(one.packs for one in found if one.whole))
            assert covered == frozenset(repository.index.packs()), fault


def test_a_disk_that_fails_is_told_as_what_it_is(patient: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with patient.open(fresh=True) as repository:
        make(patient, repository)
    with patient.open(fresh=True) as repository:  # a machine that has not seen it, and cannot keep a copy of its header
        with monkeypatch.context() as patch:
            patch.setattr(objects, "write_private", refuse)
            assert len(find_parity(repository, problems=[], cancel=CancelToken())) == 1
        assert [p.kind for p in repository.cache.problems] == ["cache"]
        with monkeypatch.context() as patch:
            patch.setattr(making, "parity_of", refuse)
            with repository.lock() as held, pytest.raises(RepositoryError, match="No space left"):
                repository.load_index()
                plan = plan_parity(repository, 0.5, [])
                run_parity(repository, plan, held, progress=patient.progress, cancel=CancelToken())
