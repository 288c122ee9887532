"""A machine is lost. All that is left is a WebDAV server, its account and the key - and everything comes back.

Then once more with a pack deleted on the server: the plan runs to its end, names what is lost, and says so.
"""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backup_core.cli import main
from backup_core.testing.trees import describe
from backup_core.testing.webdav_server import WebDAVServer

Davault = Callable[..., Any]
PLAN = """
[plans."主站"]
description = "数据库、代码、上传文件"
target_base_path = "{base}"
rto = "1h"
rpo = "1d"

[[plans."主站".steps]]
name = "database"
configuration = "数据库"
after = [{{ command = "cp {{target}}/dumps/shop.db {{base}}/shop-in-use.db" }}]
checks = [
    {{ kind = "sqlite", path = "dumps/shop.db" }},
    {{ kind = "sqlite", path = "dumps/shop.db", query = "SELECT count(*) FROM orders", expect = "1000" }},
]

[[plans."主站".steps]]
name = "code"
configuration = "代码"
depends_on = ["database"]
checks = [{{ kind = "file", path = "app/app.py", sha256 = "{sha256}" }}]

[[plans."主站".steps]]
name = "uploads"
configuration = "上传"
depends_on = ["database"]
checks = [{{ kind = "command", command = "test $(ls uploads | wc -l) -ge 4" }}]
"""
CODE = "print('open for business')\n" * 50


@pytest.fixture
def davault(capsys: pytest.CaptureFixture[str]) -> Davault:
    """Runs one command line with ``--json``; its document."""

    def run(*words: object, code: int = 0) -> Any:
        capsys.readouterr()
        ended = main([*(str(word) for word in words), "--json"])
        out, err = capsys.readouterr()
        assert ended == code, f"exit code {ended}\n{out}\n{err}"
        return json.loads(out)

    return run


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """What is in use: a database dump, code, uploads."""
    root = tmp_path / "machine"
    (root / "dumps").mkdir(parents=True)
    with sqlite3.connect(root / "dumps" / "shop.db") as connection:
        connection.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, what TEXT)")
        connection.executemany("INSERT INTO orders (what) VALUES (?)", [(f"order {i}",) for i in range(1000)])
    connection.close()
    (root / "app" / "static").mkdir(parents=True)
    (root / "app" / "app.py").write_text(CODE)
    (root / "app" / "static" / "链接").symlink_to("../app.py")
    (root / "uploads").mkdir()
    chance = random.Random(3)
    for number in range(12):
        (root / "uploads" / f"照片 {number}.jpg").write_bytes(chance.randbytes(30_000))
    return root


@pytest.fixture
def lost(
    davault: Davault, dav: WebDAVServer, machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, dict[str, Any]]:
    """The machine is backed up, its plan is drilled - and then it is gone, with its home. What it held."""
    monkeypatch.setenv("DAV_PASSWORD", dav.password.reveal())
    monkeypatch.setenv("RESTIC_KEY", "key kept in a safe")
    account = ("--username", dav.username, "--password-env", "DAV_PASSWORD")
    davault("client", "add", "cloud", "--url", dav.url, *account)
    for name, folder in (("数据库", "dumps"), ("代码", "app"), ("上传", "uploads")):
        davault(
            "config", "add", name, "--client", "cloud", "--path", f"/backups/{folder}",
            "--source", machine / folder, "--key-env", "RESTIC_KEY",
        )  # fmt: skip
        davault("backup", name)
    file = tmp_path / "plan.toml"
    file.write_text(PLAN.format(base=tmp_path / "recovered", sha256=hashlib.sha256(CODE.encode()).hexdigest()))
    assert davault("dr", "import", file)["notes"] == [], "the plan is kept on the server"
    assert davault("dr", "drill", "主站", "--scratch", tmp_path / "scratch")["good"]
    for number in range(4):
        (machine / "uploads" / f"later {number}.jpg").write_bytes(random.Random(number).randbytes(5000))
    davault("backup", "上传")
    held = {folder: describe(machine / folder) for folder in ("app", "uploads")}
    shutil.rmtree(machine)
    shutil.rmtree(tmp_path / "davault-home")
    file.unlink()
    return held


def recover(davault: Davault, dav: WebDAVServer) -> None:
    account = ("--username", dav.username, "--password-env", "DAV_PASSWORD")
    davault("recover", "--url", dav.url, "--path", "/backups", *account, "--key-env", "RESTIC_KEY")


def test_everything_comes_back_from_the_server_alone(
    davault: Davault, dav: WebDAVServer, lost: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    recover(davault, dav)
    ready = davault("dr", "test", "主站")
    assert ready["passed"], ready["findings"]
    report = davault("dr", "execute", "主站", "--yes")
    assert report["good"] and report["state"] == "completed"
    assert 0 < report["rto"] < report["rto_target"] and 0 < report["rpo"] < report["rpo_target"]
    acts = [(step["name"], act["kind"], act["outcome"]) for step in report["steps"] for act in step["acts"]]
    assert acts == [
        ("database", "command", "passed"), ("database", "sqlite", "passed"), ("database", "sqlite", "passed"),
        ("code", "file", "passed"), ("uploads", "command", "passed"),
    ]  # fmt: skip
    base = tmp_path / "recovered"
    assert describe(base / "code" / "app") == lost["app"]
    assert describe(base / "uploads" / "uploads") == lost["uploads"]
    with sqlite3.connect(base / "shop-in-use.db") as connection:
        assert connection.execute("SELECT count(*) FROM orders").fetchone() == (1000,)
    connection.close()
    history = davault("dr", "history", "主站")
    assert [run["kind"] for run in history["runs"]] == ["execution", "drill"], "the drill of the lost machine is known"
    assert history["trend"]["first_breach"] is None


def test_with_a_pack_deleted_on_the_server_the_rest_comes_back(
    davault: Davault, dav: WebDAVServer, lost: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    recover(davault, dav)
    packs = [p for p in (dav.root / "backups" / "uploads" / "data").rglob("*") if p.is_file()]
    max(packs, key=lambda p: p.stat().st_size).unlink()
    ready = davault("dr", "test", "主站", code=3)
    assert any("missing" in f["message"] for f in ready["findings"] if f["level"] == "error")
    drilled = davault("dr", "drill", "主站", code=4)
    assert not drilled["good"] and drilled["trend"]["first_breach_of"] == ["state"]
    assert "the first breach was on" in " ".join(drilled["trend"]["sentences"])

    report_file = tmp_path / "report.md"
    report = davault("dr", "execute", "主站", "--yes", "--report", report_file, code=4)
    states = {step["name"]: step["state"] for step in report["steps"]}
    assert states == {"database": "completed", "code": "completed", "uploads": "incomplete"}
    assert set(report["steps"][2]["lost"]) == {f"uploads/照片 {number}.jpg" for number in range(12)}
    assert "照片 7.jpg" in report_file.read_text()
    base = tmp_path / "recovered"
    assert describe(base / "code" / "app") == lost["app"]
    assert sorted(p.name for p in (base / "uploads" / "uploads").iterdir()) == [f"later {n}.jpg" for n in range(4)]
