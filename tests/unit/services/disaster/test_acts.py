"""Commands and checks of a step: what passes, what fails and why, and what a drill leaves out."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from backup_core.clock import SystemClock
from backup_core.config.recovery_checks import RecoveryCheck, RecoveryCommand
from backup_core.config.recovery_plans import RecoveryStep
from backup_core.errors import Cancelled
from backup_core.progress import CancelToken
from backup_core.services.disaster.acts import Acts, Surroundings
from backup_core.services.disaster.records import ActResult, Mode

ACTS = Acts(SystemClock(), CancelToken())


def surroundings(target: Path, mode: Mode = "execution", planned: Path | None = None) -> Surroundings:
    step = RecoveryStep(name="数据 库", configuration="x")
    return Surroundings("主站", step, mode, "run_1", target.parent, target, planned or target, "x_20261123_020000")


def check(target: Path, mode: Mode = "execution", *, sampled: bool = False, **fields: Any) -> ActResult:
    parsed = TypeAdapter(RecoveryCheck).validate_python(fields)
    return ACTS.check(parsed, surroundings(target, mode, Path("/srv/planned")), sampled=sampled)


def test_commands_know_where_they_are(tmp_path: Path) -> None:
    target = tmp_path / "a b"
    target.mkdir()
    at = surroundings(target)
    told = ACTS.command("after", RecoveryCommand(command="pwd; echo {target} {other} $DAVAULT_STEP $DAVAULT_MODE"), at)
    assert told.outcome == "passed"
    assert told.output.splitlines() == [str(target), f"{target} {{other}} 数据 库 execution"]
    words = ACTS.command("after", RecoveryCommand(command=["echo", "{target};id"]), at)
    assert words.output == f"{target};id\n"


def test_commands_of_the_real_thing_are_not_run_in_drills(tmp_path: Path) -> None:
    at = surroundings(tmp_path, "drill")
    mark = tmp_path / "ran"
    assert ACTS.command("before", RecoveryCommand(command=f"touch {mark}"), at).outcome == "skipped"
    assert not mark.exists()
    assert ACTS.command("before", RecoveryCommand(command=f"touch {mark}", in_drill=True), at).outcome == "passed"
    assert mark.exists()


def test_a_failing_command_tells_its_last_words(tmp_path: Path) -> None:
    failed = check(tmp_path, kind="command", command="echo no room left >&2; exit 3")
    assert failed.failed and failed.message == "it ended with exit code 3: no room left"
    late = check(tmp_path, kind="command", command=["sleep", "100"], timeout=0.2)
    assert "did not end" in late.message


def test_files_are_checked_to_the_last_byte(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"content")
    right = hashlib.sha256(b"content").hexdigest()
    assert check(tmp_path, kind="file", path="a.txt", sha256=right).outcome == "passed"
    assert "SHA-256" in check(tmp_path, kind="file", path="a.txt", sha256="0" * 64).message
    assert "7 bytes" in check(tmp_path, kind="file", path="a.txt", min_size=8).message
    assert check(tmp_path, kind="file", path="b.txt").message == "there is no such file"


def test_in_a_drill_files_are_looked_for_in_the_scratch_directory(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"")
    assert check(tmp_path, "drill", kind="file", path="/srv/planned/a.txt").outcome == "passed"
    assert check(tmp_path, "drill", kind="file", path="/etc/passwd").outcome == "skipped"
    assert check(tmp_path, kind="file", path="/etc/passwd").outcome == "passed"


def test_sqlite_is_asked_without_changing_it(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE orders (id)")
        connection.executemany("INSERT INTO orders VALUES (?)", [(i,) for i in range(5000)])
    connection.close()
    before = path.read_bytes()
    assert check(tmp_path, kind="sqlite", path="shop.db").outcome == "passed"
    few = check(tmp_path, kind="sqlite", path="shop.db", query="SELECT count(*) FROM orders", expect="6000")
    assert few.message == "the query gave '5000' instead of '6000'"
    assert "attempt to write" in check(tmp_path, kind="sqlite", path="shop.db", query="DELETE FROM orders").message
    assert check(tmp_path, kind="sqlite", path="shop.db", query="SELECT 1 WHERE 0", expect=None).failed
    slow = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT max(i) FROM n"
    assert check(tmp_path, kind="sqlite", path="shop.db", query=slow, timeout=0.2).message == "it took too long"
    assert path.read_bytes() == before
    path.write_bytes(before[:4096] + bytes(len(before) - 4096))
    assert check(tmp_path, kind="sqlite", path="shop.db").failed


class _Service(BaseHTTPRequestHandler):
    answers: list[int]

    def do_GET(self) -> None:
        status = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "http://example.invalid/")
        self.end_headers()
        self.wfile.write("健康".encode())

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def service() -> Iterator[tuple[str, type[_Service]]]:
    handler = type("Handler", (_Service,), {"answers": [200]})
    server = HTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/health", handler
    server.shutdown()
    server.server_close()
    thread.join()


def test_services_are_asked_until_they_answer(tmp_path: Path, service: tuple[str, type[_Service]]) -> None:
    url, handler = service
    assert check(tmp_path, kind="http", url=url, contains="健康").outcome == "passed"
    assert "does not hold" in check(tmp_path, kind="http", url=url, contains="sick", patience=0).message
    handler.answers = [503, 200]
    assert "503" in check(tmp_path, kind="http", url=url, patience=0).message
    handler.answers = [503, 200]
    assert check(tmp_path, kind="http", url=url, patience=600).outcome == "passed"
    handler.answers = [302]
    assert check(tmp_path, kind="http", url=url, status=302, patience=0).outcome == "passed"
    assert check(tmp_path, "drill", kind="http", url=url).outcome == "skipped"


def test_a_service_that_is_not_there(tmp_path: Path, service: tuple[str, type[_Service]]) -> None:
    url = "http://127.0.0.1:1/"
    assert "does not answer" in check(tmp_path, kind="http", url=url, patience=0).message


def test_postgresql_is_asked_through_its_own_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    psql = tmp_path / "bin" / "psql"
    psql.parent.mkdir()
    psql.write_text(
        '#!/bin/sh\necho "$PGPASSWORD|$*" > "$RECORD"\ncase "$*" in *broken*) echo bad >&2; exit 1;; esac; echo t\n'
    )
    psql.chmod(0o755)
    record = tmp_path / "record"
    monkeypatch.setenv("PATH", str(psql.parent), prepend=":")
    monkeypatch.setenv("RECORD", str(record))
    monkeypatch.setenv("SHOP_PASSWORD", "geheim")
    fields = {"kind": "postgresql", "connection": "dbname=shop", "password": "env:SHOP_PASSWORD"}
    assert check(tmp_path, **fields, query="select count(*) > 0 from orders", expect="t").outcome == "passed"
    password, _, words = record.read_text().partition("|")
    assert password == "geheim" and "geheim" not in words and "-d dbname=shop" in words
    assert "instead of 'f'" in check(tmp_path, **fields, query="select true", expect="f").message
    assert "exit code 1: bad" in check(tmp_path, **fields, query="broken").message
    monkeypatch.delenv("SHOP_PASSWORD")
    assert "SHOP_PASSWORD is not set" in check(tmp_path, **fields, query="select 1").message


@pytest.mark.skipif(shutil.which("psql") is None, reason="psql is not installed")
def test_the_real_psql_says_why_it_cannot_connect(tmp_path: Path) -> None:
    told = check(tmp_path, kind="postgresql", connection=f"host={tmp_path} dbname=x", query="select 1")
    assert told.failed and "exit code 2" in told.message


def test_a_sample_is_only_checked_file_by_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    assert check(tmp_path, "drill", sampled=True, kind="command", command="false").outcome == "skipped"
    assert check(tmp_path, "drill", sampled=True, kind="file", path="a").outcome == "passed"


def test_cancelling_is_no_failure(tmp_path: Path) -> None:
    cancel = CancelToken()
    cancel.cancel("enough")
    command = TypeAdapter(RecoveryCheck).validate_python({"kind": "command", "command": ["sleep", "100"]})
    with pytest.raises(Cancelled, match="enough"):
        Acts(SystemClock(), cancel).check(command, surroundings(tmp_path))
