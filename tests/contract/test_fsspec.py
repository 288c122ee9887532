"""The backend contract through fsspec, on file systems that come with it."""

from __future__ import annotations

from pathlib import Path

import fsspec
import pytest

from backup_core.errors import AccessDenied, ConfigError, ConnectionLost, QuotaExceeded, StorageError
from backup_core.storage.backend import Promises
from backup_core.storage.fsspec import FsspecBackend
from backup_core.storage.registry import open_backend
from backup_core.storage.retry import Retrier, RetryPolicy
from backup_core.testing.backend_contract import BackendContract
from backup_core.testing.clocks import ManualClock


def on(file_system: object, root: str, clock: ManualClock, *, makes_directories: bool) -> FsspecBackend:
    return FsspecBackend(
        file_system,
        root,
        location=root,
        promises=Promises(),
        retrier=Retrier(RetryPolicy(), clock=clock),
        makes_directories=makes_directories,
    )


class TestLikeAnObjectStore(BackendContract):
    @pytest.fixture
    def backend(self, clock: ManualClock) -> FsspecBackend:
        files = fsspec.filesystem("memory", skip_instance_cache=True)
        files.store, files.pseudo_dirs = {}, [""]
        return on(files, "/bucket/folder", clock, makes_directories=False)


class TestLikeADisk(BackendContract):
    @pytest.fixture
    def backend(self, clock: ManualClock, tmp_path: Path) -> FsspecBackend:
        return on(fsspec.filesystem("file"), str(tmp_path / "r"), clock, makes_directories=True)


@pytest.mark.parametrize(
    ("error", "expected"),
    [(PermissionError("no"), AccessDenied), (OSError(28, "full"), QuotaExceeded),
     (ConnectionResetError(), ConnectionLost), (TimeoutError("slow"), ConnectionLost),
     (RuntimeError("odd"), StorageError)],
)  # fmt: skip
def test_errors_become_typed(clock: ManualClock, tmp_path: Path, error: Exception, expected: type[Exception]) -> None:
    class Failing(type(fsspec.filesystem("file"))):
        def pipe_file(self, *_: object, **__: object) -> None:
            raise error

    with pytest.raises(expected) as caught:
        on(Failing(), str(tmp_path), clock, makes_directories=True).put("config", b"c")
    assert type(caught.value) is expected
    assert bool(clock.slept) is caught.value.transient


def test_a_kind_of_storage_whose_package_is_missing() -> None:
    with pytest.raises(ConfigError, match=r"smb://|Install"):
        open_backend("smb://server/share/folder")
