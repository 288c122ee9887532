"""An application on a home of its own that stores in a local directory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from backup_core.config.models import BackupConfig, ClientConfig
from backup_core.services.application import Application, open_application


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Application]:
    with open_application(tmp_path / "home") as application:
        application.add_client(ClientConfig(name="云", url=str(tmp_path / "store")))
        yield application


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "源"
    (root / "子").mkdir(parents=True)
    (root / "一.txt").write_text("一" * 1000)
    (root / "子" / "二.pdf").write_text("二" * 1000)
    return root


@pytest.fixture
def configured(app: Application, source: Path) -> Callable[..., BackupConfig]:
    """Adds a configuration."""

    def add(name: str = "文档", **changes: Any) -> BackupConfig:
        fields = {
            "name": name, "source_paths": [str(source)], "target_client_id": "云", "target_path": "/备份",
            "encrypt_key": "env:TEST_KEY",
        }  # fmt: skip
        config = BackupConfig(**{**fields, **changes})
        app.add_config(config, replace=True)
        return config

    return add


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEY", "密钥")
    monkeypatch.delenv("DAVAULT_KEY", raising=False)
