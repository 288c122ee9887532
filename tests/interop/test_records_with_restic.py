"""The records beside the format: restic neither complains of them nor takes them away."""

from __future__ import annotations

from pathlib import Path

import pytest

from backup_core.config.models import BackupConfig, ClientConfig
from backup_core.services.application import open_application
from tests.conftest import Restic

pytestmark = pytest.mark.restic


def test_restic_leaves_the_records_alone(restic: Restic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", "key")
    source = tmp_path / "source"
    source.mkdir()
    with open_application(tmp_path / "home") as app:
        app.add_client(ClientConfig(name="disk", url=str(tmp_path / "store")))
        app.add_config(
            BackupConfig(
                name="docs",
                source_paths=[str(source)],
                target_client_id="disk",
                target_path="/r",
                encrypt_key="env:KEY",
            )
        )
        for number in range(2):
            (source / "file").write_text(str(number))
            app.backup("docs")
        place = tmp_path / "store" / "r"
        before = {record: record.read_bytes() for record in (place / "davault").glob("*-*")}
        assert len(before) == 2
        told = restic.run("check", "--read-data", repository=place, password="key")
        assert "davault" not in told.stdout + told.stderr
        restic.run("forget", "--keep-last", "1", "--group-by", "", "--prune", repository=place, password="key")
        rebuild = ("repair", "index") if restic.knows_empty_passwords else ("rebuild-index",)
        restic.run(*rebuild, repository=place, password="key")
        assert {record: record.read_bytes() for record in (place / "davault").glob("*-*")} == before
        restic.check(place, password="key")
        # restic forgot one without a word: that is what "vanished" means.
        assert len(app.backups("docs", refresh=True)) == 1 and len(app.vanished.listed()) == 1
