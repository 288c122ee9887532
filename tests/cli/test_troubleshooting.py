"""docs/troubleshooting.md quotes what the program really prints: each trouble is made, and each quotation is found."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from backup_core.testing.webdav_server import Answer, Request, WebDAVServer

PROJECT = Path(__file__).resolve().parents[2]
TEXT = (PROJECT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
QUOTED = [line for block in re.findall(r"^```text\n(.*?)^```", TEXT, re.M | re.S) for line in block.splitlines()]


@pytest.fixture
def printed(
    davault, dav: WebDAVServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> Iterator[list[str]]:
    """Every line that is printed while things go wrong."""
    lines: list[str] = []

    def run(*words: object, code: int) -> None:
        ended = davault(*words, code=code)
        lines.extend((ended.stdout + ended.stderr).splitlines())

    monkeypatch.setenv("PW", dav.password.reveal())
    monkeypatch.setenv("KEY", "key")
    source = tmp_path / "source"
    source.mkdir()
    for number in range(10):
        (source / f"{number}.txt").write_bytes(os.urandom(2000))
    davault("client", "add", "cloud", "--url", dav.url, "--username", dav.username, "--password-env", "PW")
    davault("config", "add", "docs", "--client", "cloud", "--path", "/b", "--source", source, "--key-env", "KEY")
    davault("backup", "docs")
    run("backup", "unknown", code=5)
    for name, value, code in (("PW", "wrong", 6), ("KEY", "other", 7), ("PW", None, 5)):
        with monkeypatch.context() as changed:
            changed.delenv(name) if value is None else changed.setenv(name, value)
            run("backup", "docs", code=code)
    shutil.move(source, tmp_path / "unplugged")
    run("backup", "docs", code=9)
    shutil.move(tmp_path / "unplugged", source)
    (source / "new").write_bytes(os.urandom(50_000))
    dav.fault = _full
    run("backup", "docs", code=6)
    dav.fault = None
    before = set((dav.root / "b" / "data").rglob("*"))
    davault("backup", "docs")
    fresh = [p for p in set((dav.root / "b" / "data").rglob("*")) - before if p.is_file()]
    damaged = max(fresh, key=lambda path: path.stat().st_size)
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    run("validate", "--config", "docs", "--depth", "data", code=4)
    damaged.unlink()
    run("validate", "--config", "docs", code=4)
    run("restore", "docs", "--target", tmp_path / "out", code=3)
    davault("client", "add", "gone", "--url", "http://127.0.0.1:9/", "--allow-insecure")
    run("client", "probe", "gone", code=6)
    yield lines


def _full(request: Request) -> Answer | None:
    return Answer("507 Insufficient Storage") if request.method == "PUT" and "/data/" in request.path else None


def test_every_quotation_is_really_printed(printed: list[str]) -> None:
    assert len(QUOTED) >= 12
    for quotation in QUOTED:
        pattern = ".*".join(re.escape(part) for part in quotation.split("…"))
        assert any(re.fullmatch(pattern, line) for line in printed), quotation


def test_the_four_questions_are_answered_in_both_languages() -> None:
    assert [line for line in TEXT.splitlines() if line.startswith("## ")][:4] == [
        "## A backup fails", "## A validation fails", "## A restore is slow", "## There is no space left",
    ]  # fmt: skip
    chinese = (PROJECT / "README.zh-CN.md").read_text(encoding="utf-8")
    assert "docs/troubleshooting.md" in chinese and "docs/tutorial.md" in chinese
