"""``davault mirror``, as a user types it, and that docs/cli.md tells what it answers."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from backup_core.cli import mirror_documents
from backup_core.results import Outcome
from backup_core.services.mirroring.result import MirrorResult

DOCUMENTATION = (Path(__file__).resolve().parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")


@pytest.fixture
def backed_up(davault: Any, docs: str, tmp_path: Path) -> str:
    davault("client", "add", "usb", "--url", (tmp_path / "usb").as_uri())
    davault("init", docs)
    davault("backup", docs)
    return docs


def test_a_mirror_from_its_making_to_its_end(davault: Any, backed_up: str, tmp_path: Path) -> None:
    foreseen = davault("mirror", backed_up, "--to", "usb", "--dry-run").stdout
    assert "backups would be copied  1" in foreseen
    assert not (tmp_path / "usb").exists()
    made = davault("mirror", backed_up, "--to", "usb", "--path", "/copies", "--json").document
    assert (made["config"], made["mirrors"][0]["created"], len(made["mirrors"][0]["copied"])) == ("docs", True, 1)
    assert "usb:/copies" in davault("config", "show", backed_up).stdout
    again = davault("mirror", backed_up).stdout
    assert "backups there before  1" in again
    gone = davault("mirror", backed_up, "--to", "usb", "--forget", "--json").document
    assert gone["forgotten"] == {"client": "usb", "path": "/copies"}
    davault("mirror", backed_up, code=5)


def test_a_lost_home_and_a_lost_server_are_rebuilt_from_the_mirror(
    davault: Any, backed_up: str, tmp_path: Path, source: Path
) -> None:
    davault("mirror", backed_up, "--to", "usb", "--path", "/copies")
    shutil.rmtree(tmp_path / "store")
    home = ("--home", tmp_path / "new home")
    davault("recover", "--url", (tmp_path / "usb").as_uri(), "--path", "/copies", "--key-env", "REPOSITORY_KEY", *home)
    davault("restore", backed_up, "--target", tmp_path / "out", *home)
    assert (tmp_path / "out" / source.name / "report.pdf").read_bytes() == (source / "report.pdf").read_bytes()


@pytest.mark.parametrize(
    "words",
    [
        ("--path", "/x"),
        ("--key-env", "K"),
        ("--forget",),
        ("--to", "usb", "--snapshots", "a", "--all"),
        ("--to", "usb", "--key-env", "K", "--key-file", "f"),
    ],
)
def test_options_that_make_no_sense_together(davault: Any, backed_up: str, words: tuple[str, ...]) -> None:
    davault("mirror", backed_up, *words, code=2)


def test_a_backup_that_cannot_be_copied_is_damage(davault: Any, backed_up: str, tmp_path: Path) -> None:
    for pack in (tmp_path / "store" / "backups" / "data").rglob("*"):
        if pack.is_file():
            pack.chmod(0o600)
            pack.write_bytes(b"\0" * pack.stat().st_size)
    answer = davault("mirror", backed_up, "--to", "usb", "--json", code=4).document["mirrors"][0]
    assert answer["copied"] == []
    assert len(answer["left_out"]) == 1


def test_every_key_is_documented() -> None:
    result = MirrorResult("docs", "usb", "/", "", dry_run=False, outcome=Outcome.COMPLETED)
    section = DOCUMENTATION.split("### `mirror NAME`")[1].split("\n### ")[0]
    words = set(re.findall(r"`([a-z_]+)`", section))
    assert mirror_documents.mirrored(result).keys() <= words
