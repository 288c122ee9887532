"""Several passwords for one repository, taking them away, and replacing them, whatever interrupts that."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from backup_core.errors import AuthenticationFailed, BackupError, LockHeld, RepositoryError, WrongKey
from backup_core.format.kdf import SALT_BYTES, ScryptParameters
from backup_core.repository import keyring
from backup_core.repository.key_files import KeyFiles
from backup_core.repository.options import RepositoryOptions
from backup_core.repository.repository import Repository
from backup_core.storage.memory import MemoryBackend
from backup_core.testing.clocks import ManualClock
from backup_core.testing.faults import FaultyBackend, PowerCut, every_fault
from backup_core.types import Secret

CHEAP = ScryptParameters(n=16, r=8, p=1, salt=bytes(SALT_BYTES))
OLD, NEW = Secret("the old password"), Secret("the new password")


class Bench:
    """A repository on a server, and machines that open it."""

    def __init__(self, place: Path, clock: ManualClock) -> None:
        self.server = MemoryBackend()
        self.place = place
        self.clock = clock
        with Repository.create(
            self.server, OLD, clock=clock, random_bytes=random.Random(1).randbytes, options=self.options("first")
        ):
            pass

    def options(self, machine: str) -> RepositoryOptions:
        return RepositoryOptions(cache_directory=self.place / machine, hostname=machine, username="me")

    def open(self, password: Secret, machine: str = "first", backend: object = None) -> Repository:
        return Repository.open(
            backend or self.server,  # type: ignore[arg-type]
            password,
            clock=self.clock,
            random_bytes=random.Random(2).randbytes,
            options=self.options(machine),
        )

    def keys(self) -> list[str]:
        return sorted(name for name in self.server.objects if name.startswith("keys/"))


@pytest.fixture
def bench(tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> Bench:
    original = keyring.KeyFile.make.__func__  # type: ignore[attr-defined]

    def make(cls: type, *arguments: object, **fields: object) -> object:
        return original(cls, *arguments, **{**fields, "cost": fields.get("cost") or CHEAP})

    monkeypatch.setattr(keyring.KeyFile, "make", classmethod(make))
    return Bench(tmp_path, clock)


def test_a_second_password_opens_the_same_repository(bench: Bench) -> None:
    with bench.open(OLD) as repository:
        bench.clock.advance(60)
        costly = ScryptParameters(n=32, r=8, p=2, salt=bytes(SALT_BYTES))
        added = KeyFiles(repository).add(NEW, cost=costly)
        infos = KeyFiles(repository).list()
    assert [info.current for info in infos] == [True, False]
    assert infos[1].id == added and infos[1].hostname == "first" and infos[1].damage == ""
    parameters = infos[1].parameters
    assert parameters is not None and (parameters.n, parameters.p) == (32, 2) and parameters.salt != bytes(SALT_BYTES)
    assert infos[1].cheap
    with bench.open(OLD, "other") as one, bench.open(NEW, "third") as two:
        assert one.master_key == two.master_key
        assert two.key_id == added


def test_a_password_that_was_taken_away_opens_nowhere(bench: Bench) -> None:
    with bench.open(OLD) as repository:
        added = KeyFiles(repository).add(NEW)
    with bench.open(NEW, "remembering"), bench.open(OLD) as repository:
        assert KeyFiles(repository).remove(added[:8]) == added
    with pytest.raises(WrongKey):
        bench.open(NEW, "fresh")
    bench.clock.advance(3600)  # a machine that remembers the key looks once an hour whether it is still there
    with pytest.raises(WrongKey):
        bench.open(NEW, "remembering")
    with bench.open(OLD):
        pass


def test_the_key_in_use_stays(bench: Bench) -> None:
    with bench.open(OLD) as repository:
        keys = KeyFiles(repository)
        with pytest.raises(RepositoryError, match="is the one in use"):
            keys.remove(repository.key_id)
        for wrong in ("", "zz", "f" * 64):
            with pytest.raises(RepositoryError, match="no key begins"):
                keys.remove(wrong)
    assert len(bench.keys()) == 1


def test_changing_a_password_takes_the_old_one_away(bench: Bench) -> None:
    with bench.open(OLD) as repository:
        KeyFiles(repository).change(NEW)
        assert len(bench.keys()) == 1
        with repository.lock():  # and this program goes on
            pass
    with pytest.raises(WrongKey):
        bench.open(OLD)
    with bench.open(NEW) as repository:
        assert [info.current for info in KeyFiles(repository).list()] == [True]


def test_nobody_is_locked_out_by_an_interrupted_change(bench: Bench) -> None:
    whole = dict(bench.server.objects)
    counting = FaultyBackend(bench.server)
    KeyFiles(bench.open(OLD, "counting", counting)).change(NEW)
    for number, fault in enumerate(every_fault(counting.count())):
        bench.server.objects.clear()
        bench.server.objects.update(whole)
        machine = f"machine{number}"
        with bench.open(OLD, machine, FaultyBackend(bench.server, fault)) as cut, pytest.raises(PowerCut):
            KeyFiles(cut).change(NEW)
        opens = [password for password in (OLD, NEW) if _opens(bench, password, machine)]
        assert opens, fault
        with bench.open(opens[0], machine) as again:
            again.unlock(remove_all=True)
            KeyFiles(again).change(NEW)
            for info in KeyFiles(again).list():
                if not info.current:
                    KeyFiles(again).remove(info.id)
        assert (_opens(bench, OLD, machine), _opens(bench, NEW, machine), len(bench.keys())) == (False, True, 1)


def _opens(bench: Bench, password: Secret, machine: str) -> bool:
    try:
        bench.open(password, machine).close()
    except WrongKey:
        return False
    return True


def test_a_server_that_loses_the_new_key_does_not_lose_the_old_one(bench: Bench) -> None:
    class Losing(FaultyBackend):
        def put(self, name: str, data: object) -> None:
            if not name.startswith("keys/"):
                super().put(name, data)  # type: ignore[arg-type]

    with bench.open(OLD, "first", Losing(bench.server)) as repository, pytest.raises(RepositoryError):
        KeyFiles(repository).change(NEW)
    assert _opens(bench, OLD, "first")


def test_damaged_keys_are_told_and_can_be_removed(bench: Bench) -> None:
    with bench.open(OLD) as repository:
        added = KeyFiles(repository).add(NEW)
        bench.server.objects[f"keys/{added}"] = b"{}"
        damaged = next(info for info in KeyFiles(repository).list() if not info.current)
        assert damaged.damage
        KeyFiles(repository).remove(added)
    assert len(bench.keys()) == 1


def test_while_the_key_in_use_is_damaged_no_other_goes(bench: Bench) -> None:
    with bench.open(OLD) as repository:
        name = f"keys/{repository.key_id}"
        good = bench.server.objects[name]
        keys = KeyFiles(repository)
        other = keys.add(NEW)
        # Still JSON that reads well, and no longer what the name says.
        bench.server.objects[name] = good.replace(b'"username":"me"', b'"username":"we"')
        assert [bool(info.damage) for info in keys.list() if info.current] == [True]
        with pytest.raises(RepositoryError, match="key change"):
            keys.remove(other)
        del bench.server.objects[name]
        with pytest.raises(RepositoryError, match="key change"):
            keys.remove(other)
        keys.change(OLD)
        assert keys.remove(other) == other
    assert _opens(bench, OLD, "another machine")


def test_nobody_changes_keys_while_others_work(bench: Bench) -> None:
    with bench.open(OLD) as one, bench.open(OLD, "other") as two, two.lock():
        KeyFiles(one).add(NEW)
        with pytest.raises(LockHeld):
            KeyFiles(one).change(Secret("third"))


def test_no_more_keys_than_are_tried(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backup_core.repository.key_files.MAX_KEYS", 2)
    with bench.open(OLD) as repository:
        KeyFiles(repository).add(NEW)
        with pytest.raises(RepositoryError, match="Remove one first"):
            KeyFiles(repository).add(Secret("third"))


def test_a_wrong_password_says_so(bench: Bench) -> None:
    with pytest.raises(BackupError) as caught:
        bench.open(Secret("wrong"))
    assert not isinstance(caught.value, AuthenticationFailed)
