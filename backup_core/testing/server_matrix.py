"""A whole life of a repository on each WebDAV server of ``server_programs``, and the table that comes from it.

    python -m backup_core.testing.server_matrix            writes docs/webdav-servers.md anew
    python -m backup_core.testing.server_matrix nginx      measures one server, and writes nothing

Every step is what people do; restic then checks the folder that the server serves, read directly from the disk.
"""

from __future__ import annotations

import base64
import http.client
import logging
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import field
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

from backup_core.config.models import BackupConfig, ClientConfig
from backup_core.deferred import dataclass
from backup_core.results import Outcome
from backup_core.services.application import Application, open_application
from backup_core.storage import registry
from backup_core.storage.backend import Backend
from backup_core.testing.server_programs import PASSWORD, USER, Server, running
from backup_core.testing.thrift import keys_derived_once
from backup_core.testing.trees import describe, make_tree

_LOG = logging.getLogger(__name__)
PROJECT = Path(__file__).resolve().parents[2]
TABLE = PROJECT / "docs" / "webdav-servers.md"
KINDS = ("apache", "nginx", "lighttpd", "sabre", "wsgidav", "rclone", "nephele")
NAMES = {
    "apache": "Apache mod_dav",
    "nginx": "nginx with dav-ext",
    "lighttpd": "lighttpd mod_webdav",
    "sabre": "sabre/dav (PHP)",
    "wsgidav": "WsgiDAV",
    "rclone": "rclone serve webdav",
    "nephele": "nephele (Node.js)",
}
STEPS = ("init", "full", "incremental", "validate", "restore", "cleanup", "prune", "restic")

_FOLDER = "/我的 备份"
_KEY = "the key of the matrix"
_OK = "ok"
_VERSION = re.compile(r"\d+(?:\.\d+)+(?:-[a-z]+\.\d+)?")


class StepFailed(Exception):
    """A step did not do what it should."""


@dataclass
class Row:
    """What one server did."""

    kind: str
    version: str
    outcomes: dict[str, str] = field(default_factory=dict)
    """Step -> "ok", or what went wrong."""
    requests: dict[str, int] = field(default_factory=dict)
    """Step -> requests sent."""
    answers: list[str] = field(default_factory=list)
    """How the server answers where servers differ."""

    @property
    def passed(self) -> bool:
        """True when every step did what it should."""
        return set(self.outcomes) == set(STEPS) and set(self.outcomes.values()) == {_OK}


def run_on(server: Server, place: Path, *, restics: Sequence[str]) -> Row:
    """All steps on a running server; ``place`` is an empty directory for everything local."""
    row = Row(server.kind, version_of(server.kind), answers=answers_of(server))
    with _counted() as total, keys_derived_once(), open_application(place / "home") as app:
        life = _Life(app, server, place, restics)
        for step in STEPS:
            before = total()
            try:
                getattr(life, step)()
                row.outcomes[step] = _OK
            except Exception as error:
                # The next server is run all the same; the table says what happened here.
                row.outcomes[step] = f"{type(error).__name__}: {error}"
                break
            row.requests[step] = total() - before
    return row


class _Life:
    """The steps, in their order."""

    def __init__(self, app: Application, server: Server, place: Path, restics: Sequence[str]) -> None:
        self._app = app
        self._served = server.served
        self._place = place
        self._restics = restics
        self._source = make_tree(place / "documents", files=40)
        (self._source / "large").write_bytes(random.Random(1).randbytes(3_000_000))
        (place / "password").write_text(PASSWORD)
        (place / "key").write_text(_KEY)
        client = ClientConfig(
            name="server", url=server.url, username=USER, password=f"file:{place / 'password'}", retry_seconds=10
        )
        app.add_client(client)
        app.add_config(
            BackupConfig(
                name="docs",
                source_paths=[str(self._source)],
                target_client_id="server",
                target_path=_FOLDER,
                encrypt_key=f"file:{place / 'key'}",
                # Below what servers take of one object by default (8 MiB at the nginx of ``server_programs``).
                pack_size=4 * 1024 * 1024,
            )
        )

    def init(self) -> None:
        _require(self._app.init_repository("docs").created, "no repository was made")

    def full(self) -> None:
        _require(self._app.backup("docs", kind="full").outcome is Outcome.COMPLETED, "it had problems")

    def incremental(self) -> None:
        (self._source / "new").write_bytes(random.Random(2).randbytes(400_000))
        (self._source / "large").unlink()
        (self._source / "large 2").write_bytes(random.Random(3).randbytes(2_000_000))
        summary = self._app.backup("docs")
        _require(summary.outcome is Outcome.COMPLETED and summary.files_unchanged > 0, "it had problems")

    def validate(self) -> None:
        results = self._app.validate(config_name="docs", depth="data")
        _require(len(results) == 2 and all(result.is_valid for result in results), "damage was found")

    def restore(self) -> None:
        summary = self._app.restore("docs", target=self._place / "out", verify=True)
        _require(summary.outcome is Outcome.COMPLETED, "it had problems")
        _require(describe(self._place / "out" / "documents") == describe(self._source), "it differs")

    def cleanup(self) -> None:
        _require(self._app.manager.cleanup_old_backups("docs", keep_count=1) == 1, "nothing was forgotten")

    def prune(self) -> None:
        _require(self._app.prune("docs").freed_bytes > 2_000_000, "no room was given back")
        (result,) = self._app.validate(config_name="docs")
        _require(result.is_valid, "something that is needed is gone")

    def restic(self) -> None:
        for program in self._restics:
            command = [program, "--no-cache", "--repo", str(self._served / _FOLDER.strip("/")), "check", "--read-data"]
            environment = {**os.environ, "RESTIC_PASSWORD": _KEY}
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            _require(done.returncode == 0 and "no errors were found" in done.stdout, done.stderr or done.stdout)


def _require(right: bool, otherwise: str) -> None:
    if not right:
        raise StepFailed(otherwise)


@contextmanager
def _counted() -> Iterator[Callable[[], int]]:
    """Requests of all backends that are opened inside, so far."""
    opened: list[Backend] = []
    inner = registry.open_backend

    def remembering(*arguments: Any, **options: Any) -> Backend:
        backend = inner(*arguments, **options)
        opened.append(backend)
        return backend

    with mock.patch.object(registry, "open_backend", remembering):
        yield lambda: sum(backend.requests.total for backend in opened)


# ---- what servers say


def answers_of(server: Server) -> list[str]:
    """How a server answers where servers differ, asked with plain requests."""
    ask = _Asker(server)
    ask("MKCOL", "/asked/")
    ask("PUT", "/asked/file", body=b"12345")
    again = ask("PUT", "/asked/file", body=b"1", headers={"If-None-Match": "*"})
    clobbered = ask("GET", "/asked/file")[1] != b"12345"
    ask("PUT", "/asked/file", body=b"12345")
    told = [
        f"MKCOL of what exists {ask('MKCOL', '/asked/')[0]}",
        f"PUT without its folder {ask('PUT', '/asked/no/such/file', body=b'1')[0]}",
        f"PUT with If-None-Match: * over an object {again[0]}{' (replaced!)' if clobbered else ''}",
        f"listing with Depth: infinity {ask('PROPFIND', '/', headers={'Depth': 'infinity'})[0]}",
        f"part of an object {ask('GET', '/asked/file', headers={'Range': 'bytes=1-2'})[0]}",
        f"DELETE of nothing {ask('DELETE', '/asked/nothing')[0]}",
    ]
    ask("DELETE", "/asked/")
    return told


class _Asker:
    """Sends single requests as nobody's client."""

    def __init__(self, server: Server) -> None:
        self._address = urlsplit(server.url).netloc
        self._login = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()

    def __call__(
        self, method: str, path: str, *, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(self._address, timeout=30)
        try:
            connection.request(method, path, body=body, headers={"Authorization": self._login, **(headers or {})})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


def version_of(kind: str) -> str:
    """The installed version of a server."""
    if kind == "wsgidav":
        return package_version("wsgidav")
    if kind == "nephele":
        text = (PROJECT / ".cache" / "nephele" / "node_modules" / "nephele" / "package.json").read_text()
        found = re.search(r'"version":\s*"([^"]+)"', text)
        return found[1] if found else "?"
    commands = {
        "apache": ["apache2", "-v"],
        "nginx": ["nginx", "-v"],
        "lighttpd": ["lighttpd", "-v"],
        "rclone": ["rclone", "version"],
        "sabre": ["php", "-r", "require '/usr/share/php/Sabre/autoload.php'; echo \\Sabre\\DAV\\Version::VERSION;"],
    }
    done = subprocess.run(commands[kind], capture_output=True, text=True, check=False)
    version = _VERSION.search(done.stdout + done.stderr)
    return version[0] if version else "?"


# ---- the table


def table_of(rows: Sequence[Row], restics: Sequence[str]) -> str:
    """The page ``docs/webdav-servers.md``."""
    heads = ["Server", "Version", *(step for step in STEPS if step != "restic"), "restic check", "Requests"]
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    for row in rows:
        steps = [_cell(row, step) for step in STEPS]
        lines.append(f"| {' | '.join([NAMES[row.kind], row.version, *steps, str(sum(row.requests.values()))])} |")
    answers = [f"| {NAMES[row.kind]} | {'; '.join(row.answers)} |" for row in rows]
    versions = " and ".join(_restic_version(program) for program in restics) or "none"
    return _PAGE.format(
        table="\n".join(lines), answers="\n".join(["| Server | Answers |", "|---|---|", *answers]), restic=versions
    )


def _cell(row: Row, step: str) -> str:
    outcome = row.outcomes.get(step, "not reached")
    if outcome != _OK:
        return "**" + outcome.replace("|", "\\|").replace("\n", " ")[:200] + "**"
    return _OK if step == "restic" else f"ok ({row.requests[step]})"


def _restic_version(program: str) -> str:
    return subprocess.run([program, "version"], capture_output=True, text=True, check=True).stdout.split()[1]


_PAGE = """# WebDAV servers, measured

This page is written by `python -m backup_core.testing.server_matrix`, which leads a repository through its whole life
on each server, as the distribution ships it (nephele: as its registry has it): making it, a full and an incremental
backup, validation of all data, a restore with verification, forgetting a backup and pruning. In brackets stands the
number of requests of the step. Then restic ({restic}) checks all data in the served folder, read from the disk. The
tests do the same each time (`tests/servers/test_matrix.py`).

{table}

It is a small tree, and packs are closed at 4 MiB, so most requests are what a run costs at the least. They are nearly
the same everywhere, because nothing good is assumed of a server before it was measured (`davault client probe`). Every
command counts its requests: `--json`.

## Where servers differ

Every line below was measured by asking with plain requests.

{answers}

What is made of that:

* Folders are made when an upload shows that they are missing, whether the server says 404, 409 or 500 to that, and
  remembered; `MKCOL` of one that exists is fine with 405, 201 and whatever else says so.
* That an object exists proves nothing where conditional uploads are ignored: names are hashes of the content, sizes
  are confirmed before a snapshot refers to anything on servers that keep cut uploads.
* Nothing asks for more than one level (`Depth: 1`), so servers that refuse `infinity` are fine.
* An object that is to be deleted and is not there is deleted.

Not in the table because they cannot be run here: Nextcloud and ownCloud (built on sabre/dav), Synology, Nutstore. For
the last there is a double with its limits, `backup_core/testing/nutstore.py`, that the tests run against.
"""


def restic_programs() -> list[str]:
    """The restics that are here, the older one first."""
    newer = PROJECT / ".cache" / "restic-0.18" / "restic"
    found = [shutil.which("restic"), str(newer) if newer.exists() else None]
    return [program for program in found if program]


def measure(kinds: Sequence[str]) -> list[Row]:
    """Run these servers one after the other."""
    rows = []
    for kind in kinds:
        with running(kind) as server, tempfile.TemporaryDirectory(prefix="davault-matrix-") as place:
            rows.append(run_on(server, Path(place), restics=restic_programs()))
    return rows


def main(kinds: Sequence[str]) -> int:
    """Measure these servers; without any, measure all and write the page. 1 when a step failed anywhere."""
    rows = measure(kinds or KINDS)
    if not kinds:
        TABLE.write_text(table_of(rows, restic_programs()), encoding="utf-8")
    for row in rows:
        _LOG.info("%s %s: %s", NAMES[row.kind], row.version, row.outcomes)
    return 0 if all(row.passed for row in rows) else 1


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    sys.exit(main(sys.argv[1:]))
