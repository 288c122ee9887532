"""``davault browse`` as a person runs it: an address, and Ctrl+C."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

DOCUMENTATION = (Path(__file__).resolve().parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
PROGRAM = "import sys; from backup_core.cli import main; sys.exit(main())"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_it_is_interrupted(davault, docs, source: Path, tmp_path: Path, number: int) -> None:
    davault("backup", docs)
    words = [sys.executable, "-c", PROGRAM, "browse", "--config", docs, "--json"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = ""
        while not told.rstrip().endswith("}"):
            line = process.stdout.readline()
            assert line, process.stderr.read() if process.stderr else ""
            told += line
        document = json.loads(told)
        assert all(f"`{key}`" in DOCUMENTATION for key in document)
        page = httpx.get(document["url"] + quote("docs/projects/one/重要.txt"))
        process.send_signal(number)
        rest, errors = process.communicate(timeout=60)
    assert page.text == "内容\n"
    assert (process.returncode, rest, errors) == (0, "", "")
    assert not list((tmp_path / "store" / "backups" / "locks").iterdir())


def test_which_backup_must_be_said(davault, docs) -> None:
    davault("browse", code=2)
    davault("browse", "docs_1", "--config", docs, code=2)
    davault("browse", "docs_20200101_000000", code=5)
