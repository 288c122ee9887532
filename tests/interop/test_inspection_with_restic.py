"""What changed between two backups, told by us and by restic of the same repository."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from backup_core.config.models import BackupConfig, ClientConfig
from backup_core.services.application import open_application
from backup_core.testing.trees import change_tree, make_tree

pytestmark = pytest.mark.restic


def test_both_tell_the_same_changes(restic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", "密钥")
    source = make_tree(tmp_path / "文档", files=30)
    os.symlink("nowhere", source / "link")
    with open_application(tmp_path / "home") as app:
        app.add_client(ClientConfig(name="disk", url=(tmp_path / "store").as_uri()))
        app.add_config(
            BackupConfig(name="文档", source_paths=[str(source)], target_client_id="disk", target_path="/b",
                         encrypt_key="env:KEY")
        )  # fmt: skip
        before = app.backup("文档")
        change_tree(source)
        (source / "link").unlink()
        (source / "link").mkdir()
        (source / os.fsdecode(b"caf\xe9")).write_bytes(b"a name that is not text")
        after = app.backup("文档")
        ours = app.inspection.diff(before.backup_id, after.backup_id)
        told = {(c.path, c.mark) for c in ours.changes if c.mark != "U"}
        answer = restic.json("diff", before.snapshot_id, after.snapshot_id, repository=tmp_path / "store" / "b",
                             password="密钥")  # fmt: skip
    theirs = {(line["path"].rstrip("/"), line["modifier"]) for line in answer if line["message_type"] == "change"}
    # What is not text, JSON cannot hold: restic shows U+FFFD there.
    assert {(path.replace("\\xe9", "\ufffd"), mark) for path, mark in told} == theirs
    statistics = answer[-1]
    assert ours.added.files == statistics["added"]["files"]
    assert ours.removed.files == statistics["removed"]["files"]
    assert ours.content_changed == statistics["changed_files"]
