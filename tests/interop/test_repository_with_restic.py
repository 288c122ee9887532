"""Repositories that restic wrote are read by the repository storey, and the other way round."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backup_core.clock import SystemClock
from backup_core.errors import LockHeld, RepositoryExists, UnsupportedVersion, WrongKey
from backup_core.format.snapshot import Snapshot
from backup_core.format.tree import Node, encode_node, encode_tree, go_mode
from backup_core.repository.options import RepositoryOptions
from backup_core.repository.repository import Repository
from backup_core.storage.local import LocalBackend
from backup_core.types import BlobType, Secret, TreeId

pytestmark = pytest.mark.restic

PASSWORD = "first password"
CLOCK = SystemClock()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    (source / "deep" / "er").mkdir(parents=True)
    (source / "words").write_bytes(b"the same words again " * 3000)
    (source / "random").write_bytes(os.urandom(2_500_000))
    (source / "empty").write_bytes(b"")
    for number in range(40):
        (source / "deep" / f"file{number}").write_bytes(os.urandom(20) * number)
    (source / "deep" / "er" / "文件").write_text("中文")
    return source


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "repository"


@pytest.fixture
def options(tmp_path: Path) -> RepositoryOptions:
    return RepositoryOptions(cache_directory=tmp_path / "cache")


def opened(place: Path, options: RepositoryOptions, password: str = PASSWORD) -> Repository:
    return Repository.open(LocalBackend(place), Secret(password), clock=CLOCK, random_bytes=os.urandom, options=options)


def created(place: Path, options: RepositoryOptions, password: str = PASSWORD) -> Repository:
    return Repository.create(
        LocalBackend(place), Secret(password), clock=CLOCK, random_bytes=os.urandom, options=options
    )


def files_of(repository: Repository, tree: TreeId, path: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
    """(path, content) of every file of a snapshot."""
    for node in repository.read_tree(tree):
        inner = path + b"/" + node.name
        if node.subtree is not None:
            yield from files_of(repository, node.subtree, inner)
        elif node.content is not None:
            yield inner, b"".join(repository.read_blob(blob) for blob in node.content)


def contents_of(source: Path) -> dict[bytes, bytes]:
    return {os.fsencode(path): path.read_bytes() for path in source.rglob("*") if path.is_file()}


def write_small_backup(repository: Repository) -> dict[str, bytes]:
    """A backup of three files in a directory; path -> content."""
    contents = {"one": b"1" * 5000, "two": os.urandom(700_000), "three": b"short"}
    with repository.lock():
        repository.snapshots()
        repository.load_index()
        with repository.uploader() as uploader:
            store = repository.blob_store(uploader)
            nodes = [
                Node(
                    name.encode(),
                    "file",
                    go_mode(0o100640),
                    size=len(contents[name]),
                    content=(store.save_blob(BlobType.DATA, contents[name]),),
                )
                for name in sorted(contents)
            ]
            zone = CLOCK.now().tzinfo
            assert zone is not None
            below = store.save_tree(encode_tree([encode_node(node, zone) for node in nodes]))
            top = Node(b"srv", "dir", go_mode(0o040755), subtree=below)
            root = store.save_tree(encode_tree([encode_node(top, zone)]))
            store.flush()
            uploader.finish()
        repository.save_snapshot(Snapshot(CLOCK.now(), root, ("/srv",), hostname="here", tags=("davault",)))
    return contents


@pytest.mark.parametrize("version", ["1", "2"])
def test_what_restic_wrote_is_read_whole(
    restic: Any, place: Path, source: Path, options: RepositoryOptions, version: str
) -> None:
    restic.run("init", "--repository-version", version, repository=place, password=PASSWORD)
    restic.run("backup", source, repository=place, password=PASSWORD)
    (source / "words").write_bytes(b"other words")
    restic.run("backup", source, repository=place, password=PASSWORD)
    with opened(place, options) as repository, repository.lock():
        snapshots = repository.snapshots()
        listed = restic.json("snapshots", repository=place, password=PASSWORD)
        assert [s.id for s in snapshots] == [entry["id"] for entry in listed]
        repository.load_index()
        assert dict(files_of(repository, snapshots[-1].tree)) == contents_of(source)
        assert dict(files_of(repository, snapshots[0].tree)).keys() == contents_of(source).keys()
        assert repository.check_packs() == []
        for pack in repository.index.packs():
            report = repository.check_pack_data(pack)
            assert (report.problems, report.blobs) == ((), len(repository.index.pack_blobs(pack)))
        assert repository.unreferenced_packs() == {}
        assert repository.load_snapshot(snapshots[0].id[:8]) == snapshots[0]
        assert repository.writable is (version == "2")
    assert "no errors" in restic.check(place, PASSWORD)


def test_version_1_is_not_written_to(restic: Any, place: Path, options: RepositoryOptions) -> None:
    restic.run("init", "--repository-version", "1", repository=place, password=PASSWORD)
    with opened(place, options) as repository, repository.lock():
        repository.load_index()
        with pytest.raises(UnsupportedVersion, match="migrate upgrade_repo_v2"):
            repository.uploader()
        with pytest.raises(UnsupportedVersion):
            repository.save_snapshot(Snapshot(CLOCK.now(), TreeId(bytes(32)), ("/x",)))  # type: ignore[arg-type]
        # Our lock is one that programs of that time can read.
        restic.run("snapshots", repository=place, password=PASSWORD)
    assert sorted(path.name for path in (place / "snapshots").iterdir()) == []


def test_any_of_five_passwords_opens(restic: Any, place: Path, options: RepositoryOptions, tmp_path: Path) -> None:
    restic.run("init", repository=place, password=PASSWORD)
    for number in range(4):
        file = tmp_path / f"password{number}"
        file.write_text(f"password {number}\n")
        restic.run("key", "add", "--new-password-file", file, repository=place, password=PASSWORD)
    for password in (PASSWORD, "password 0", "password 3"):
        with opened(place, options, password) as repository:
            assert repository.encrypted
    with pytest.raises(WrongKey, match="none of the 5 keys"):
        opened(place, options, "password 4")


@pytest.mark.usefixtures("full_cost")
def test_restic_accepts_what_we_wrote(restic: Any, place: Path, options: RepositoryOptions, tmp_path: Path) -> None:
    with created(place, options) as repository:
        contents = write_small_backup(repository)
    assert "no errors were found" in restic.check(place, PASSWORD)
    listing = restic.run("ls", "latest", repository=place, password=PASSWORD).stdout
    assert all(f"/srv/{name}\n" in listing for name in contents)
    restic.run("restore", "latest", "--target", tmp_path / "out", repository=place, password=PASSWORD)
    assert {path.name: path.read_bytes() for path in (tmp_path / "out" / "srv").iterdir()} == contents
    restic.run("prune", repository=place, password=PASSWORD)
    with opened(place, options) as repository, repository.lock():
        snapshot = repository.snapshots()[0]
        repository.load_index()
        found = dict(files_of(repository, snapshot.tree))
    assert found == {f"/srv/{name}".encode(): content for name, content in contents.items()}


def test_both_write_into_one_repository(restic: Any, place: Path, source: Path, options: RepositoryOptions) -> None:
    with created(place, options) as repository:
        write_small_backup(repository)
        restic.run("backup", source, repository=place, password=PASSWORD)
        write_small_backup(repository)
        restic.run("backup", "--force", source, repository=place, password=PASSWORD)
        assert "no errors were found" in restic.check(place, PASSWORD)
        with repository.lock():
            snapshots = repository.snapshots()
            repository.load_index()
            assert len(snapshots) == 4
            assert dict(files_of(repository, snapshots[-1].tree)) == contents_of(source)
        restic.run("forget", snapshots[0].id, "--prune", repository=place, password=PASSWORD)
        with repository.lock():
            left = repository.snapshots()
            repository.load_index()
            assert [s.id for s in left] == [s.id for s in snapshots[1:]]
            assert repository.check_packs() == []
            assert dict(files_of(repository, left[0].tree)) == contents_of(source)


def test_no_password_is_what_restic_calls_insecure(restic_new: Any, place: Path, options: RepositoryOptions) -> None:
    with created(place, options, "") as repository:
        assert not repository.encrypted
        write_small_backup(repository)
    assert "no errors were found" in restic_new.check(place, "")
    with pytest.raises(WrongKey):
        opened(place, options, "anything")


@pytest.mark.usefixtures("full_cost")
def test_restic_respects_our_locks(restic: Any, place: Path, options: RepositoryOptions) -> None:
    with created(place, options) as repository:
        write_small_backup(repository)
        with repository.lock(exclusive=True):
            refused = restic.run("snapshots", repository=place, password=PASSWORD, check=False)
            assert refused.returncode != 0
            assert "already locked exclusively" in refused.stderr
        with repository.lock():
            restic.run("snapshots", repository=place, password=PASSWORD)
            refused = restic.run("prune", repository=place, password=PASSWORD, check=False)
            assert refused.returncode != 0
            assert "already locked by" in refused.stderr
        restic.run("prune", repository=place, password=PASSWORD)


@pytest.mark.usefixtures("full_cost")
def test_we_respect_the_locks_of_restic(restic: Any, place: Path, options: RepositoryOptions) -> None:
    with created(place, options) as repository:
        write_small_backup(repository)
        # A backup from standard input holds its shared lock until the input ends.
        command = [restic.program, "--no-cache", "-r", str(place), "backup", "--stdin", "--json"]
        environment = {**os.environ, "RESTIC_PASSWORD": PASSWORD}
        with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as running:
            while not any(len(path.name) == 64 for path in (place / "locks").iterdir()):
                assert running.poll() is None
            with pytest.raises(LockHeld, match=re.escape(f"process {running.pid}")):
                repository.lock(exclusive=True).__enter__()
            with repository.lock():
                assert len(repository.snapshots()) == 1
            running.communicate(b"some text")
        assert running.returncode == 0
        with repository.lock(exclusive=True):
            assert len(repository.snapshots()) == 2


def test_restic_removes_the_lock_of_a_killed_run(restic: Any, place: Path, options: RepositoryOptions) -> None:
    with created(place, options):
        pass
    child = os.fork()
    if not child:
        with opened(place, options).lock(exclusive=True):
            os._exit(0)  # as if killed: nothing is released
    os.waitpid(child, 0)
    assert len(list((place / "locks").iterdir())) == 1
    restic.run("unlock", repository=place, password=PASSWORD)
    assert list((place / "locks").iterdir()) == []


def test_a_place_that_restic_uses_is_not_initialised_again(
    restic: Any, place: Path, options: RepositoryOptions
) -> None:
    restic.run("init", repository=place, password=PASSWORD)
    assert Repository.exists(LocalBackend(place))
    with pytest.raises(RepositoryExists, match="already"):
        created(place, options)
    (place / "config").chmod(0o600)
    (place / "config").unlink()
    with pytest.raises(RepositoryExists, match="another password"):
        created(place, options, "another")
