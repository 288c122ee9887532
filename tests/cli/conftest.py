"""Runs the command line inside the test's own process, as a user would type it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from backup_core.cli import main


@dataclass(frozen=True)
class Ended:
    """What one command line did."""

    code: int
    stdout: str
    stderr: str

    @property
    def document(self) -> Any:
        """Stdout as the one JSON document that it must be."""
        return json.loads(self.stdout)


Davault = Callable[..., Ended]


@pytest.fixture
def davault(capsys: pytest.CaptureFixture[str]) -> Davault:
    """Runs one command line; ``code`` (default 0, None for any) is what it must end with."""

    def run(*words: object, code: int | None = 0) -> Ended:
        capsys.readouterr()
        ended = main([str(word) for word in words])
        out, err = capsys.readouterr()
        assert code is None or ended == code, f"exit code {ended}\n{out}\n{err}"
        return Ended(ended, out, err)

    return run


class Secrets(NamedTuple):
    """What must never be printed."""

    password: str = "pass-word-of-the-account"
    key: str = "key-of-the-repository"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A small tree to back up."""
    root = tmp_path / "docs"
    (root / "projects" / "one").mkdir(parents=True)
    (root / "report.pdf").write_bytes(b"%PDF" + bytes(range(256)) * 40)
    (root / "projects" / "one" / "重要.txt").write_text("内容\n")
    (root / "projects" / "notes.tmp").write_text("scratch")
    (root / "link").symlink_to("report.pdf")
    return root


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> Secrets:
    """The password and the key, where references find them."""
    made = Secrets()
    monkeypatch.setenv("ACCOUNT_PASSWORD", made.password)
    monkeypatch.setenv("REPOSITORY_KEY", made.key)
    return made


@pytest.fixture
def docs(davault: Davault, tmp_path: Path, source: Path, secrets: Secrets) -> str:
    """A configuration "docs" on a directory of this machine."""
    davault("client", "add", "disk", "--url", (tmp_path / "store").as_uri())
    davault("config", "add", "docs", "--client", "disk", "--path", "/backups", "--source", source,
            "--exclude", "*.tmp", "--key-env", "REPOSITORY_KEY")  # fmt: skip
    return "docs"
