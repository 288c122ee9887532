"""The backend contract on memory and on a local directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from backup_core.storage.local import LocalBackend
from backup_core.storage.memory import MemoryBackend
from backup_core.testing.backend_contract import BackendContract


class TestMemoryBackend(BackendContract):
    @pytest.fixture
    def backend(self) -> MemoryBackend:
        return MemoryBackend()


class TestLocalBackend(BackendContract):
    @pytest.fixture
    def backend(self, tmp_path: Path) -> LocalBackend:
        return LocalBackend(tmp_path / "repository")
