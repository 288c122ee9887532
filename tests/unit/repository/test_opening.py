from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from backup_core.errors import (
    ConnectionLost,
    Corrupt,
    ListingUnproved,
    NotARepository,
    NotFound,
    RepositoryExists,
    UnsupportedVersion,
    WrongKey,
)
from backup_core.format.cipher import MasterKey, Sealer
from backup_core.repository import keyring
from backup_core.repository.options import RepositoryOptions
from backup_core.repository.repository import Repository
from backup_core.storage.memory import MemoryBackend
from backup_core.testing.clocks import ManualClock
from backup_core.testing.faults import Fault, FaultyBackend, Moment
from backup_core.testing.recording import RecordingBackend
from backup_core.types import BlobType, Secret

RIGHT, WRONG = Secret("right"), Secret("wrong")
PUTS = frozenset({"put"})


@pytest.fixture
def options(tmp_path: Path) -> RepositoryOptions:
    return RepositoryOptions(cache_directory=tmp_path / "cache", hostname="here", username="me")


@pytest.fixture
def server() -> MemoryBackend:
    return MemoryBackend()


@pytest.fixture
def create(server: Any, clock: ManualClock, options: RepositoryOptions) -> Callable[..., Repository]:
    def make(password: Secret = RIGHT, backend: Any = None) -> Repository:
        return Repository.create(backend or server, password, clock=clock, random_bytes=os.urandom, options=options)

    return make


@pytest.fixture
def reopen(server: Any, clock: ManualClock, options: RepositoryOptions) -> Callable[..., Repository]:
    def make(password: Secret = RIGHT, backend: Any = None, **changes: Any) -> Repository:
        return Repository.open(
            backend or server,
            password,
            clock=clock,
            random_bytes=os.urandom,
            options=replace(options, **changes),
        )

    return make


def test_a_new_repository_is_opened_by_its_password(create: Any, reopen: Any) -> None:
    with create() as made, reopen() as opened:
        assert (opened.id, opened.master_key, opened.encrypted) == (made.id, made.master_key, True)
        assert opened.config.version == 2


def test_a_known_key_costs_one_request_and_a_look_once_an_hour(
    create: Any, reopen: Any, server: Any, clock: ManualClock
) -> None:
    create().close()
    recording = RecordingBackend(server)
    for verbs in (["get"], ["get"], ["get", "stat"], ["get"]):
        reopen(backend=recording).close()
        assert [o.verb for o in recording.operations] == verbs
        recording.clear()
        clock.advance(3600 / 2)


def test_a_new_machine_finds_the_key_and_remembers_it(create: Any, reopen: Any, server: Any, tmp_path: Path) -> None:
    create().close()
    recording = RecordingBackend(server)
    reopen(backend=recording, cache_directory=tmp_path / "new").close()
    assert [o.verb for o in recording.operations] == ["get", "list", "get"]
    recording.clear()
    reopen(backend=recording, cache_directory=tmp_path / "new").close()
    assert [o.verb for o in recording.operations] == ["get"]


def test_a_run_without_changes_costs_seven_requests(
    create: Any, reopen: Any, server: MemoryBackend, store: Callable[..., Any]
) -> None:
    with create() as made:
        stored = store(made, [os.urandom(300) for _ in range(20)])
    server.requests.by_method.clear()
    with reopen() as repository, repository.lock():
        parent = repository.snapshots()[-1]
        repository.load_index()
        assert len(repository.read_tree(parent.tree)) == 20
        with repository.uploader() as uploader:
            again = repository.blob_store(uploader)
            assert [again.save_blob(BlobType.DATA, content) for content in stored.contents] == stored.blobs
            again.flush()
            uploader.finish()
        repository.save_snapshot(replace(parent, parent=parent.id))
    assert server.requests.by_method == {"GET": 1, "LIST": 3, "PUT": 2, "DELETE": 1}


def test_a_wrong_password_is_refused_and_changes_nothing(create: Any, reopen: Any, server: Any) -> None:
    create().close()
    before = dict(server.objects)
    with pytest.raises(WrongKey, match=r"opens none of the 1 keys.*Check the password"):
        reopen(WRONG)
    assert server.objects == before
    recording = RecordingBackend(server)
    reopen(backend=recording).close()
    assert len(recording.operations) == 1  # the mistake did not cost the remembered key


def test_the_password_is_in_no_message(create: Any, reopen: Any) -> None:
    create().close()
    with pytest.raises(WrongKey) as caught:
        reopen(Secret("hunter2 is secret"))
    assert "hunter2" not in str(caught.value)


def test_no_more_than_twenty_keys_are_tried(
    create: Any, reopen: Any, server: Any, clock: ManualClock, tmp_path: Path
) -> None:
    with create() as made:
        for number in range(30):
            key, data = keyring.make_key(
                Secret(str(number)), made.master_key, clock=clock, random_bytes=os.urandom, hostname="", username=""
            )
            server.put(f"keys/{key}", data)
    recording = RecordingBackend(server)
    with pytest.raises(WrongKey, match=r"of the 20 keys tried.*it has 31"):
        reopen(WRONG, backend=recording, cache_directory=tmp_path / "new")
    assert len(recording.names("get")) == 21


def test_a_damaged_key_file_does_not_stand_in_the_way(create: Any, reopen: Any, server: Any, tmp_path: Path) -> None:
    create().close()
    server.put("keys/" + "0" * 64, b"half of a key")
    reopen(cache_directory=tmp_path / "new").close()
    with pytest.raises(WrongKey, match="could not be used"):
        reopen(WRONG, cache_directory=tmp_path / "new")


def test_a_damaged_remembered_key_is_forgotten(create: Any, reopen: Any, options: RepositoryOptions) -> None:
    create().close()
    (hint,) = [path for path in (options.cache_directory / "hints").glob("*/*") if path.is_file()]  # type: ignore[operator]
    hint.write_bytes(b"damage")
    reopen().close()
    assert hint.read_bytes() != b"damage"


def test_a_damaged_config_is_told_apart_from_a_wrong_password(create: Any, reopen: Any, server: Any) -> None:
    create().close()
    server.objects["config"] = server.objects["config"][:-1] + b"?"
    with pytest.raises(Corrupt, match="config"):
        reopen()


def test_a_newer_version_is_refused(create: Any, reopen: Any, server: Any) -> None:
    with create() as made:
        text = made.config.encode().replace(b'"version":2', b'"version":3')
        server.put("config", Sealer(made.master_key).seal(text))
    with pytest.raises(UnsupportedVersion, match="version 3"):
        reopen()


def test_nothing_there_is_no_repository(reopen: Any) -> None:
    with pytest.raises(NotARepository, match="create one there first"):
        reopen()


def test_a_repository_without_keys_says_so(create: Any, reopen: Any, server: Any, tmp_path: Path) -> None:
    create().close()
    for name in [name for name in server.objects if name.startswith("keys/")]:
        server.delete(name)
    with pytest.raises(NotARepository, match="no key"):
        reopen(cache_directory=tmp_path / "new")


def test_a_server_that_fails_is_not_an_absent_repository(create: Any, reopen: Any, server: Any) -> None:
    broken = FaultyBackend(server, Fault(0, stays_down=True))
    for act in (lambda: create(backend=broken), lambda: reopen(backend=broken), lambda: Repository.exists(broken)):
        with pytest.raises(ConnectionLost):
            act()
    assert server.objects == {}


def test_an_empty_password_is_not_encrypted(create: Any, reopen: Any) -> None:
    with create(Secret("")) as made:
        assert not made.encrypted
    with reopen(Secret("")) as opened:
        assert not opened.encrypted


def test_existing_is_only_what_has_a_config(create: Any, server: Any) -> None:
    assert Repository.exists(server) is False
    server.put("data/00/" + "0" * 64, b"")
    assert Repository.exists(server) is False
    server.objects.clear()
    create().close()
    assert Repository.exists(server) is True


def test_absence_must_be_proved(server: Any, create: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = server.list
    monkeypatch.setattr(server, "list", lambda d: replace(whole(d), proved_complete=False, doubt="cut"))
    with pytest.raises(ListingUnproved, match="cut"):
        Repository.exists(server)
    with pytest.raises(ListingUnproved, match="nothing was created"):
        create()
    assert server.objects == {}


def test_answers_that_contradict_each_other_prove_nothing(
    create: Any, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    create().close()

    def denies(name: str) -> Any:
        raise NotFound("no", key=name)

    monkeypatch.setattr(server, "stat", denies)
    with pytest.raises(ListingUnproved, match="and then says"):
        Repository.exists(server)


def test_an_existing_repository_is_never_replaced(create: Any, server: Any) -> None:
    create().close()
    before = dict(server.objects)
    for password in (RIGHT, WRONG):
        with pytest.raises(RepositoryExists, match="already"):
            create(password)
    assert server.objects == before


def test_a_listing_that_hides_the_config_does_not_deceive(
    create: Any, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    create().close()
    before = dict(server.objects)
    whole = server.list
    monkeypatch.setattr(server, "list", lambda d: replace(whole(d), objects=(), directories=()))
    with pytest.raises(RepositoryExists, match="already"):
        create()
    assert server.objects == before


@pytest.mark.parametrize("name", ["letter", "photos/2024", "data/00/x", "index/y", "data/00/deep/x", "keys/note"])
def test_a_folder_with_anything_else_in_it_is_refused(create: Any, server: Any, name: str) -> None:
    server.put(name, b"mine")
    with pytest.raises(RepositoryExists, match=r"not empty|no repository"):
        create()
    assert set(server.objects) == {name}


@pytest.mark.parametrize("moment", list(Moment))
@pytest.mark.parametrize("at", [0, 1])
def test_an_interrupted_creation_can_be_done_again(
    create: Any, reopen: Any, server: Any, at: int, moment: Moment
) -> None:
    with pytest.raises(ConnectionLost):
        create(backend=FaultyBackend(server, Fault(at, moment, verbs=PUTS)))
    if Repository.exists(server):
        assert (at, moment) == (1, Moment.AFTER)  # all was done, only the answer was lost
    else:
        create().close()
    with reopen() as opened:
        assert opened.encrypted
    assert len([name for name in server.objects if name.startswith("keys/")]) == 1


def test_an_interrupted_creation_is_not_continued_with_another_password(create: Any, server: Any) -> None:
    with pytest.raises(ConnectionLost):
        create(backend=FaultyBackend(server, Fault(1, verbs=PUTS)))
    with pytest.raises(RepositoryExists, match="another password"):
        create(WRONG)
    assert "config" not in server.objects


def test_a_cut_config_beside_data_is_not_replaced(create: Any, server: Any, store: Callable[..., Any]) -> None:
    with create() as made:
        store(made, [b"content"])
    server.objects["config"] = server.objects["config"][:50]
    before = dict(server.objects)
    assert Repository.exists(server) is False
    with pytest.raises(RepositoryExists, match="not empty"):
        create()
    assert server.objects == before


def test_two_creations_at_once_leave_one_repository(create: Any, reopen: Any, server: Any) -> None:
    class Race(FaultyBackend):
        """The other program's config arrives a moment after ours."""

        def put(self, name: str, data: Any) -> None:
            super().put(name, data)
            if name == "config":
                other = MasterKey.generate(os.urandom)
                key, key_data = keyring.make_key(
                    WRONG, other, clock=ManualClock(), random_bytes=os.urandom, hostname="", username=""
                )
                server.put(f"keys/{key}", key_data)
                server.put("config", Sealer(other).seal(keyring.RepositoryConfig.generate(os.urandom).encode()))

    with pytest.raises(RepositoryExists, match="somebody else"):
        create(backend=Race(server))
    with pytest.raises(WrongKey):
        reopen(RIGHT)
    reopen(WRONG).close()
