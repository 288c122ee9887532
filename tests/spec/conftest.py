"""The original system's objects on a real WebDAV server, with Chinese names throughout."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from backup_core.backup_manager import BackupManager, create_backup_manager
from backup_core.backup_service import BackupConfig
from backup_core.recovery_service import RecoveryService, create_recovery_service
from backup_core.testing.webdav_server import WebDAVServer
from backup_core.webdav_service import WebDAVCredentials, WebDAVService

NAME = "重要文档"


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    """A source with files of several kinds."""
    root = tmp_path / "源" / "documents"
    for path, text in {
        "说明.txt": "你好，世界\n" * 50,
        "报告.pdf": "%PDF 报告" * 100,
        "合同.docx": "合同" * 200,
        "important_document.txt": "important\n",
        "草稿.tmp": "left out",
        "运行.log": "left out",
        "图片.png": "not included",
        "projects/project1/计划.txt": "计划",
        "projects/project1/深/更深.pdf": "更深",
        "projects/project2/其他.txt": "其他",
    }.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


@pytest.fixture
def webdav_service(dav: WebDAVServer) -> WebDAVService:
    service = WebDAVService()
    credentials = WebDAVCredentials(username=dav.username, password=dav.password.reveal(), url=dav.url)
    service.add_client("cloud", credentials)
    return service


@pytest.fixture
def backup_manager(webdav_service: WebDAVService, tmp_path: Path) -> Iterator[BackupManager]:
    manager = create_backup_manager(
        webdav_service=webdav_service, metadata_db_path=str(tmp_path / "backup_metadata.db")
    )
    yield manager
    manager.stop_scheduler()
    manager.backup_service.close()


@pytest.fixture
def recovery_service(backup_manager: BackupManager) -> Iterator[RecoveryService]:
    service = create_recovery_service(backup_manager.backup_service)
    yield service
    service.executor.wait()


@pytest.fixture
def config(documents: Path) -> BackupConfig:
    return BackupConfig(
        name=NAME,
        source_paths=[str(documents)],
        target_client_id="cloud",
        target_path="/backups",
        include_patterns=["*.txt", "*.pdf", "*.docx"],
        exclude_patterns=["*.tmp", "*.log"],
        encrypt=True,
        encrypt_key="your-secret-key",
        compression=True,
        incremental=True,
        max_versions=30,
        schedule_time="02:00",
        auto_delete_old=True,
    )


@pytest.fixture
def backup_id(backup_manager: BackupManager, config: BackupConfig) -> str:
    """A first full backup."""
    backup_manager.add_config(config)
    return backup_manager.manual_backup(NAME, backup_type="full")


@pytest.fixture
def finished(recovery_service: RecoveryService) -> Callable[[str], object]:
    """Waits for the restores in the background; the progress of one of them."""

    def wait(session_id: str) -> object:
        recovery_service.executor.wait()
        return recovery_service.get_recovery_progress(session_id)

    return wait
