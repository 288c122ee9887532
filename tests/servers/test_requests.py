"""How many requests backups cost, by the word of the server's own log - and what restic needs through rclone."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from backup_core.clock import SystemClock
from backup_core.engine.archiver import BackupOptions, run_backup
from backup_core.progress import CancelToken, ProgressTracker, no_progress
from backup_core.repository import index_rewrite
from backup_core.repository.options import RepositoryOptions
from backup_core.repository.repository import Repository
from backup_core.results import BackupSummary
from backup_core.storage.options import BackendOptions
from backup_core.storage.webdav.backend import WebDAVBackend
from backup_core.testing.server_programs import PASSWORD, USER, Server, running
from backup_core.types import Secret

pytestmark = [pytest.mark.server, pytest.mark.restic]

KEY = "the key"
PACK_SIZE = 4 << 20
"""The smallest that restic takes."""
CLOCK = SystemClock()


@pytest.fixture(scope="module")
def apache() -> Iterator[Server]:
    with running("apache") as started:
        yield started


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Some 27 MB that do not compress, in 300 files."""
    top = tmp_path / "source"
    chance = random.Random(4)
    for number in range(300):
        path = top / f"folder {number % 9}" / f"file {number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(chance.randbytes(90_000))
    return top


@dataclass
class Account:
    """A folder on the server, used by one new program after the other."""

    server: Server
    folder: str
    cache: Path
    atomic: bool | None
    """What a probe has shown; None when nobody looked."""

    def lines(self) -> list[str]:
        assert self.server.access_log is not None
        return [line for line in self.server.access_log.read_text().splitlines() if "OPTIONS" not in line]

    def use(self, work: Any) -> Any:
        """(what ``work`` gives, lines of the server's log for it)."""
        before = len(self.lines())
        backend = WebDAVBackend(
            f"{self.server.url}{self.folder}",
            username=USER,
            password=Secret(PASSWORD),
            options=BackendOptions(atomic_put=self.atomic),
            clock=CLOCK,
        )
        result = work(backend)
        backend.close()
        for _ in range(200):  # a line may be written after the answer was sent
            if len(self.lines()) - before >= backend.requests.total:
                break
            CLOCK.sleep(0.02)
        return result, self.lines()[before:]

    def options(self) -> RepositoryOptions:
        return RepositoryOptions(cache_directory=self.cache, pack_size=PACK_SIZE)

    def create(self, backend: WebDAVBackend) -> None:
        vacancy = Repository.prove_vacant(backend)
        Repository.create(
            backend, Secret(KEY), clock=CLOCK, random_bytes=os.urandom, options=self.options(), vacancy=vacancy
        ).close()

    def back_up(self, source: Path) -> tuple[BackupSummary, list[str]]:
        def work(backend: WebDAVBackend) -> BackupSummary:
            with Repository.open(
                backend, Secret(KEY), clock=CLOCK, random_bytes=os.urandom, options=self.options()
            ) as repository:
                return run_backup(
                    repository,
                    BackupOptions(
                        sources=(str(source),),
                        kind="incremental",
                        hostname="host",
                        username="user",
                        backup_id="id",
                        workers=2,
                        start_method="thread",
                    ),
                    clock=CLOCK,
                    progress=ProgressTracker(no_progress, clock=CLOCK),
                    cancel=CancelToken(),
                )

        summary, lines = self.use(work)
        return summary, lines


def account(server: Server, folder: str, tmp_path: Path, *, atomic: bool | None) -> Account:
    return Account(server, folder, tmp_path / "cache", atomic)


def restic_lines(program: str, server: Server, folder: str, tmp_path: Path, *arguments: str) -> list[str]:
    """What the server wrote down for one command of restic with rclone's WebDAV backend."""
    assert server.access_log is not None
    before = len(server.access_log.read_text().splitlines())
    through_rclone(program, server, folder, tmp_path, *arguments)
    CLOCK.sleep(0.2)
    return server.access_log.read_text().splitlines()[before:]


def through_rclone(program: str, server: Server, folder: str, tmp_path: Path, *arguments: str) -> str:
    """What one command of restic with rclone's WebDAV backend says."""
    hidden = subprocess.run(["rclone", "obscure", PASSWORD], capture_output=True, text=True, check=True).stdout.strip()
    environment = {
        **os.environ,
        "RESTIC_PASSWORD": KEY,
        "RESTIC_PACK_SIZE": str(PACK_SIZE >> 20),
        "RESTIC_CACHE_DIR": str(tmp_path / "restic-cache"),
        "RCLONE_CONFIG": "/dev/null",
        "RCLONE_CONFIG_DAV_TYPE": "webdav",
        "RCLONE_CONFIG_DAV_URL": server.url,
        "RCLONE_CONFIG_DAV_VENDOR": "other",
        "RCLONE_CONFIG_DAV_USER": USER,
        "RCLONE_CONFIG_DAV_PASS": hidden,
    }
    command = [program, "--repo", f"rclone:dav:{folder}", *arguments]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("atomic", [True, None])
def test_backups_cost_few_requests(
    apache: Server, source: Path, tmp_path: Path, restic_new: Any, atomic: bool | None
) -> None:
    place = account(apache, f"counted-{atomic}/", tmp_path, atomic=atomic)
    _, lines_of_init = place.use(place.create)
    first, lines_of_first = place.back_up(source)
    assert first.packs >= 6
    assert sum(line.startswith("PUT") and "/data/" in line for line in lines_of_first) == first.packs
    assert len(lines_of_init) + len(lines_of_first) <= 2 * first.packs + 20

    for _ in range(5):  # others may touch a directory above the source, which is a change
        second, lines_of_second = place.back_up(source)
        if not second.packs:
            break
    assert second.packs or len(lines_of_second) <= (7 if atomic else 8)
    confirming = 0 if atomic else 3  # one listing of the one folder, one of the index files, a look at the snapshot
    assert len(lines_of_second) <= second.packs + 8 + confirming

    for number in range(60, 120):
        (source / f"new {number}").write_bytes(random.Random(number).randbytes(90_000))
    third, lines_of_third = place.back_up(source)
    assert third.packs >= 2
    assert len(lines_of_third) <= third.packs + 8 + confirming
    assert "no errors were found" in restic_new.check(apache.served / f"counted-{atomic}", password=KEY)


def test_restic_with_rclone_needs_twice_as_many(apache: Server, source: Path, tmp_path: Path, restic: Any) -> None:
    place = account(apache, f"compared-{restic.version}/", tmp_path, atomic=None)
    ours = [*place.use(place.create)[1], *place.back_up(source)[1], *place.back_up(source)[1]]
    theirs = [
        line
        for arguments in (["init"], ["backup", str(source)], ["backup", str(source)])
        for line in restic_lines(restic.program, apache, f"restic-{restic.version}", tmp_path, *arguments)
    ]
    assert 2 * len(ours) <= len(theirs)


def test_restic_with_rclone_reads_merged_index_files(
    apache: Server, tmp_path: Path, restic: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_rewrite, "MERGE_AT", 3)
    folder = f"merged-{restic.version}"
    place = account(apache, f"{folder}/", tmp_path, atomic=None)
    place.use(place.create)
    small = tmp_path / "small"
    small.mkdir()
    for number in range(4):
        (small / f"文件 {number}").write_bytes(random.Random(number).randbytes(5000))
        place.back_up(small)
    assert len(list((apache.served / folder / "index").iterdir())) == 2, "three were merged into one"
    said = through_rclone(restic.program, apache, folder, tmp_path, "check", "--read-data")
    assert "no errors were found" in said
    through_rclone(restic.program, apache, folder, tmp_path, "restore", "latest", "--target", str(tmp_path / "out"))
    for path in small.iterdir():
        assert (tmp_path / "out" / path.relative_to("/")).read_bytes() == path.read_bytes()
