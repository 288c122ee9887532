"""The two long example scripts run as they stand, but for import paths, credentials and directories."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from backup_core import BackupConfig, WebDAVCredentials, WebDAVService, create_backup_manager
from backup_core.testing.webdav_server import WebDAVServer

SCRIPTS = Path(__file__).parent / "scripts"


@pytest.fixture
def script(tmp_path: Path, dav: WebDAVServer):
    """Runs a script in a directory of its own."""

    def run(name: str, *, answer: str = "", **replaced: str) -> subprocess.CompletedProcess[str]:
        text = (SCRIPTS / f"{name}.py.txt").read_text()
        changes = {
            "from services.": "from backup_core.",
            "your-username": dav.username,
            "your-password": dav.password.reveal(),
            "https://dav.jianguoyun.com/dav/": dav.url,
            **replaced,
        }
        for old, new in changes.items():
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / f"{name}.py"
        path.write_text(text)
        return subprocess.run(
            [sys.executable, str(path)], cwd=tmp_path, input=answer, capture_output=True, text=True, check=False
        )

    return run


@pytest.mark.slow  # as the original says "nutstore", requests keep that provider's distance
def test_the_complete_backup_script(script, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "文件.txt").write_text("内容")
    first = script("complete_backup", **{'"/data"': repr(str(data))})
    assert first.returncode == 0, first.stderr
    assert "备份成功: daily_backup_" in first.stderr
    assert "备份验证通过" in first.stderr and "清理了 0 个旧备份" in first.stderr
    key = tmp_path / "davault-home" / "keys" / "daily_backup.key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert first.stderr.count(str(key)) == 1, "said loudly, once, where the key is"
    second = script("complete_backup", **{'"/data"': repr(str(data))})
    assert second.returncode == 0, second.stderr
    assert str(key) not in second.stderr
    log = (tmp_path / "backup.log").read_text()
    assert log.count("备份验证通过") == 2 and key.read_text().strip() not in log


def test_the_disaster_recovery_script(script, tmp_path: Path, dav: WebDAVServer) -> None:
    service = WebDAVService()
    service.add_client("cloud", WebDAVCredentials(dav.username, dav.password, dav.url))
    manager = create_backup_manager(service, tmp_path / "backup_metadata.db")
    for name in ("database", "application", "uploads"):
        source = tmp_path / "live" / name
        source.mkdir(parents=True)
        (source / "数据").write_text(name)
        manager.add_config(
            BackupConfig(name=name, source_paths=[source], target_client_id="cloud", target_path="/backups")
        )
        manager.manual_backup(name, "full")
    manager.backup_service.close()
    target = tmp_path / "recovery"
    done = script(
        "disaster_recovery",
        answer="yes\n",
        **{'"/recovery"': repr(str(target)), "time.sleep(5)": "time.sleep(0.2)", "nutstore": "generic"},
    )
    assert done.returncode == 0, done.stderr
    assert "DR测试结果" in done.stdout and "灾难恢复完成!" in done.stdout
    for name in ("database", "application", "uploads"):
        assert (target / name / name / "数据").read_text() == name
