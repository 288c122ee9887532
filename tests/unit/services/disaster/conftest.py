"""Three configurations with backups, made once and copied for each test, and plans over them."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from backup_core.config.models import BackupConfig, ClientConfig
from backup_core.config.recovery_plans import RecoveryPlan
from backup_core.services.application import Application, open_application
from backup_core.services.disaster.plans import KeptPlan
from backup_core.services.dr_manager import DisasterRecoveryManager

NAMES = ("数据库", "代码", "上传")


def _make_live(root: Path) -> None:
    for name in NAMES:
        (root / name).mkdir(parents=True)
    with sqlite3.connect(root / "数据库" / "shop.db") as connection:
        connection.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, what TEXT)")
        connection.executemany("INSERT INTO orders (what) VALUES (?)", [(f"order {i}",) for i in range(500)])
    connection.close()
    (root / "代码" / "app.py").write_text("print('hello')\n")
    # What cannot be compressed makes packs that are larger than those of directories.
    chance = random.Random(7)
    (root / "代码" / "logo.bin").write_bytes(chance.randbytes(40_000))
    for number in range(8):
        (root / "上传" / f"图片 {number}.bin").write_bytes(chance.randbytes(5000))


def _set_up(app: Application, place: Path) -> None:
    """Point the client and the configurations to what lies below ``place``."""
    app.add_client(ClientConfig(name="云", url=str(place / "store")), replace=True)
    for name in NAMES:
        config = BackupConfig(
            name=name,
            source_paths=[str(place / "live" / name)],
            target_client_id="云",
            target_path=f"/{name}",
            encrypt_key="env:TEST_KEY",
        )
        app.add_config(config, replace=True)


@pytest.fixture(scope="session")
def _template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("template")
    _make_live(place / "live")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEST_KEY", "密钥")
        with open_application(place / "home") as app:
            _set_up(app, place)
            for name in NAMES:
                app.backup(name)
    return place


@pytest.fixture
def app(_template: Path, tmp_path: Path) -> Iterator[Application]:
    """A home with the three configurations, each with a backup in a repository of its own."""
    for part in ("live", "store", "home"):
        shutil.copytree(_template / part, tmp_path / part, symlinks=True)
    with open_application(tmp_path / "home") as application:
        _set_up(application, tmp_path)
        yield application


@pytest.fixture
def live(app: Application, tmp_path: Path) -> Path:
    """What is in use: a database, code, uploads."""
    return tmp_path / "live"


@pytest.fixture
def manager(app: Application) -> DisasterRecoveryManager:
    return app.recovery.disaster_recovery


@pytest.fixture
def planned(manager: DisasterRecoveryManager, tmp_path: Path) -> Callable[..., KeptPlan]:
    """Keeps a plan: database first, then code and uploads side by side. ``steps`` changes steps by name."""

    def keep(*, steps: dict[str, dict[str, Any]] | None = None, **fields: Any) -> KeptPlan:
        made = [
            {"name": "db", "configuration": "数据库"},
            {"name": "code", "configuration": "代码", "depends_on": ["db"]},
            {"name": "uploads", "configuration": "上传", "depends_on": ["db"]},
        ]
        for step in made:
            step.update((steps or {}).get(str(step["name"]), {}))
        plan = {"name": "主站", "target_base_path": str(tmp_path / "recovered"), "steps": made, **fields}
        return manager.plans.add(RecoveryPlan.model_validate(plan))

    return keep
