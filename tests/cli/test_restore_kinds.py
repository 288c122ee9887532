"""``davault restore --in-place|--stdout|--files-from``, ``dump`` and ``restore-set`` as a person types them."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

DOCUMENTATION = (Path(__file__).resolve().parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")


@pytest.fixture
def backed_up(davault, docs, source: Path) -> str:
    (source / "big.bin").write_bytes(random.Random(1).randbytes(3_000_000))
    davault("backup", docs)
    return docs


def run(*words: object, **how: object) -> subprocess.CompletedProcess[bytes]:
    program = "import sys; from backup_core.cli import main; sys.exit(main())"
    return subprocess.run([sys.executable, "-c", program, *map(str, words)], capture_output=True, check=False, **how)  # type: ignore[call-overload,no-any-return]


def test_one_place_must_be_named(davault, backed_up: str, tmp_path: Path) -> None:
    davault("restore", "docs", code=2)
    davault("restore", "docs", "--target", tmp_path, "--in-place", code=2)
    davault("restore", "docs", "--stdout", "x", "--pattern", "y", code=2)
    davault("dump", "report.pdf", code=2)
    davault("dump", "report.pdf", "docs", "--json", code=2)


def test_in_place_asks_and_shows_what_would_change(davault, backed_up: str, source: Path, monkeypatch) -> None:
    (source / "report.pdf").write_text("changed")
    assert "--yes or --dry-run" in davault("restore", "docs", "--in-place", code=2).stderr
    document = davault("restore", "docs", "--in-place", "--dry-run", "--json").document
    assert document["changes"] == [{"action": "replace", "path": "docs/report.pdf"}]
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("typer.confirm", lambda *_, **__: False)
    ended = davault("restore", "docs", "--in-place", code=130)
    assert "replace  docs/report.pdf" in ended.stderr and (source / "report.pdf").read_text() == "changed"
    monkeypatch.setattr("typer.confirm", lambda *_, **__: True)
    davault("restore", "docs", "--in-place")
    assert (source / "report.pdf").read_bytes().startswith(b"%PDF")


def test_a_list_of_files(davault, backed_up: str, source: Path, tmp_path: Path) -> None:
    names = tmp_path / "names"
    names.write_bytes(os.fsencode(source / "report.pdf") + b"\0projects/one/" + "重要.txt".encode() + b"\0gone\0")
    ended = davault("restore", "docs", "--target", tmp_path / "out", "--files-from", names, code=3)
    assert "gone is on the list and not in the backup" in ended.stdout
    found = {p.name for p in (tmp_path / "out").rglob("*") if p.is_file()}
    assert found == {"report.pdf", "重要.txt"}
    davault("restore", "docs", "--target", tmp_path / "out", "--files-from", tmp_path / "none", code=2)


def test_a_file_goes_to_stdout_as_it_is(backed_up: str, source: Path) -> None:
    content = (source / "big.bin").read_bytes()
    assert run("dump", source / "big.bin", "docs", "--quiet").stdout == content
    done = run("restore", "docs", "--stdout", "docs/big.bin", "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, content, b"")
    missing = run("dump", "nothing", "docs", "--quiet")
    assert missing.returncode == 5 and missing.stdout == b"" and b"holds no 'nothing'" in missing.stderr


def test_a_reader_that_goes_away_is_no_fault(backed_up: str) -> None:
    reading, writing = os.pipe()
    program = "import sys; from backup_core.cli import main; sys.exit(main())"
    words = [sys.executable, "-c", program, "dump", "big.bin", "docs", "--quiet"]
    with subprocess.Popen(words, stdout=writing, stderr=subprocess.PIPE) as process:
        os.close(writing)
        assert os.read(reading, 10)
        os.close(reading)
        _, told = process.communicate(timeout=120)
    assert b"Traceback" not in told and b"error" not in told


def test_damage_ends_the_output_before_it(backed_up: str, source: Path, tmp_path: Path) -> None:
    content = (source / "big.bin").read_bytes()
    for pack in (tmp_path / "store" / "backups" / "data").rglob("*"):
        if pack.is_file() and pack.stat().st_size > 1_000_000:
            damaged = bytearray(pack.read_bytes())
            damaged[-100_000] ^= 1
            pack.chmod(0o600)
            pack.write_bytes(damaged)
    done = run("dump", "big.bin", "docs", "--quiet")
    assert done.returncode == 4
    assert content.startswith(done.stdout) and done.stdout != content


def test_the_distance_in_time_is_told(davault, backed_up: str, tmp_path: Path) -> None:
    document = davault("restore", "docs", "--target", tmp_path / "a", "--at", "2099-01-01", "--json").document
    assert document["distance"] > 0 and document["at"].startswith("2099-01-01T23:59")
    shown = davault("restore", "docs", "--target", tmp_path / "a", "--at", "2099-01-01", "--dry-run").stdout
    assert "before the time asked for" in shown and "needed" in shown


def test_a_set_of_configurations(davault, backed_up: str, source: Path, tmp_path: Path) -> None:
    davault("config", "add", "more", "--client", "disk", "--path", "/more", "--source", source / "projects",
            "--key-env", "REPOSITORY_KEY")  # fmt: skip
    davault("restore-set", "docs", "more", "--target", tmp_path / "out", code=5)
    davault("backup", "more")
    davault("restore-set", "--target", tmp_path / "out", code=2)
    davault("restore-set", "docs", "--all", "--target", tmp_path / "out", code=2)
    davault("restore-set", "docs", "--target", tmp_path / "out", "--max-skew", "soon", code=2)
    plan = davault("restore-set", "--all", "--target", tmp_path / "out", "--dry-run", "--json").document
    assert [m["config_name"] for m in plan["members"]] == ["docs", "more"] and not (tmp_path / "out").exists()
    document = davault("restore-set", "--all", "--target", tmp_path / "out", "--json").document
    for key in {*document, *plan["members"][0], *document["members"][0]}:
        assert f"`{key}`" in DOCUMENTATION
    assert document["skew"] > 0
    assert (tmp_path / "out" / "more" / "projects" / "one" / "重要.txt").exists()
    shown = davault("restore-set", "docs", "more", "--target", tmp_path / "out", "--max-skew", "1h").stdout
    assert "apart" in shown
    davault("restore-set", "docs", "more", "--target", tmp_path / "out", "--max-skew", "0s", code=5)


def test_restores_are_listed_and_only_running_ones_cancelled(davault, backed_up: str, tmp_path: Path) -> None:
    davault("restore", "docs", "--target", tmp_path / "out")
    document = davault("restores", "--json").document
    (session,) = document["restores"]
    for key in {*document, *session}:
        assert f"`{key}`" in DOCUMENTATION
    assert (session["status"], session["percent"], session["target"]) == ("completed", 100.0, str(tmp_path / "out"))
    assert session["session_id"] in davault("restores", "--limit", "1").stdout
    davault("restores", "--cancel", session["session_id"], code=5)
    davault("restores", "--cancel", "nothing", code=5)
