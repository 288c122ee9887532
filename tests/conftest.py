"""What every test may use: a WebDAV server, the real restic, a clock that stands still - and no way to the outside."""

from __future__ import annotations

import atexit
import gc
import ipaddress
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from backup_core.testing.clocks import ManualClock
from backup_core.testing.leaks import started_programs
from backup_core.testing.thrift import at_full_cost, thrift
from backup_core.testing.webdav_server import WebDAVServer

PROJECT = Path(__file__).resolve().parent.parent
NEWER_RESTIC = PROJECT / ".cache" / "restic-0.18" / "restic"


class OutsideConnection(BaseException):
    """A test tried to reach another machine. Not an ``Exception``, so that no retry swallows it."""


def _refuse_outside(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect":
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) else ""
    elif event == "socket.getaddrinfo":
        host = arguments[0] or ""
    else:
        return
    host = host.decode() if isinstance(host, bytes) else str(host)
    # Names below .invalid never resolve: tests of an unreachable server use them.
    if host in ("", "localhost") or host.endswith(".invalid"):
        return
    try:
        outside = not (address := ipaddress.ip_address(host.split("%")[0])).is_loopback and not address.is_unspecified
    except ValueError:
        outside = True
    if outside:
        raise OutsideConnection(f"{event}: {host}")


# Once for the whole test process; an audit hook cannot be taken away, and need not be.
sys.addaudithook(_refuse_outside)


def pytest_configure() -> None:
    """Give temporary files and directories of tests two places that are theirs alone.

    A backup notices when a directory above its source has changed. /tmp does whenever anybody makes a file there.
    """
    if "DAVAULT_TESTS_PLACE" in os.environ:
        return  # a process of the same run
    place = Path(tempfile.mkdtemp(prefix="davault-tests-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    os.environ["DAVAULT_TESTS_PLACE"] = str(place)
    place.chmod(0o755)  # servers that tests start run as other users
    for variable, name in (("PYTEST_DEBUG_TEMPROOT", "trees"), ("TMPDIR", "files")):
        (place / name).mkdir()
        (place / name).chmod(0o1777)
        os.environ.setdefault(variable, str(place / name))
    tempfile.tempdir = None  # found anew


def pytest_collection_finish() -> None:
    """Look for garbage less often, and not among what the test modules have loaded, which is there to the end."""
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)


@dataclass(frozen=True)
class Restic:
    """The real program, run without its cache and without waiting for locks."""

    program: str
    version: str

    def run(
        self,
        *arguments: str | os.PathLike[str],
        repository: str | os.PathLike[str],
        password: str = "",
        check: bool = True,
        cwd: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run one command; an empty password stands for a repository that is not encrypted."""
        command = [self.program, "--no-cache", "--repo", os.fspath(repository), *map(os.fspath, arguments)]
        environment = {"TZ": "UTC", **os.environ, "RESTIC_PASSWORD": password, "HOME": "/nonexistent"}
        if not password:
            command.insert(1, "--insecure-no-password")
            del environment["RESTIC_PASSWORD"]
        done = subprocess.run(
            command, env=environment, cwd=cwd, capture_output=True, text=True, errors="surrogateescape", check=False
        )
        if check and done.returncode != 0:
            pytest.fail(
                f"{' '.join(command)} ended with {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
            )
        return done

    def json(self, *arguments: str | os.PathLike[str], **options: Any) -> Any:
        """The answer of a command that knows ``--json``; several lines of JSON become a list."""
        text = self.run(*arguments, "--json", **options).stdout
        try:
            return json.loads(text)
        except json.JSONDecodeError:
            return [json.loads(line) for line in text.splitlines() if line.startswith(("{", "["))]

    def check(self, repository: str | os.PathLike[str], password: str = "") -> str:
        """``restic check --read-data``; fails the test when anything is wrong."""
        return self.run("check", "--read-data", repository=repository, password=password).stdout

    @property
    def knows_empty_passwords(self) -> bool:
        """``--insecure-no-password`` came with restic 0.17."""
        return tuple(map(int, self.version.split(".")[:2])) >= (0, 17)


def _restic(candidates: Sequence[str], *, newer: bool) -> Restic | None:
    for program in candidates:
        if shutil.which(program) is None:
            continue
        version = subprocess.run([program, "version"], capture_output=True, text=True, check=True).stdout.split()[1]
        if (tuple(map(int, version.split(".")[:2])) >= (0, 17)) is newer:
            return Restic(program, version)
    return None


@pytest.fixture
def programs() -> Iterator[list[Any]]:
    """The arguments of every program that is started."""
    with started_programs() as started:
        yield started


@pytest.fixture(scope="session")
def restic_old() -> Restic:
    """restic 0.14 of Debian 12 (any before 0.17)."""
    return _restic(["restic"], newer=False) or pytest.skip("no restic before 0.17: tools/test-programs installs it")


@pytest.fixture(scope="session")
def restic_new() -> Restic:
    """restic 0.18 (any from 0.17 on)."""
    found = _restic([str(NEWER_RESTIC), "restic"], newer=True)
    return found or pytest.skip("no restic from 0.17 on: tools/test-programs fetches it")


@pytest.fixture(scope="session", params=["restic_old", "restic_new"])
def restic(request: pytest.FixtureRequest) -> Restic:
    """Each of the two, one after the other."""
    found: Restic = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def clock() -> ManualClock:
    """A clock that stands still until told to move."""
    return ManualClock()


@pytest.fixture
def dav(tmp_path: Path) -> Iterator[WebDAVServer]:
    """A WebDAV server on loopback that serves ``tmp_path/dav`` and counts requests."""
    with WebDAVServer(tmp_path / "dav") as server:
        yield server


def _as_postgres(*command: str) -> list[str]:
    # The server refuses to run as root.
    return ["runuser", "-u", "postgres", "--", *command] if os.geteuid() == 0 else list(command)


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a PostgreSQL server of our own, listening on loopback only."""
    pytest.importorskip("psycopg")
    programs = {name: shutil.which(name) for name in ("initdb", "pg_ctl")}
    if None in programs.values():
        pytest.skip("PostgreSQL is not installed")
    # Not below pytest's directory, which other accounts may not enter.
    place = Path(subprocess.check_output(_as_postgres("mktemp", "-d", "/tmp/davault-pg-XXXXXX"), text=True).strip())
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    data = str(place / "data")
    subprocess.run(
        _as_postgres("initdb", "-D", data, "-U", "tester", "-A", "trust", "-E", "UTF8"),
        check=True,
        stdout=subprocess.DEVNULL,
    )
    options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={place} -c fsync=off"
    subprocess.run(
        _as_postgres("pg_ctl", "-D", data, "-l", str(place / "log"), "-w", "-o", options, "start"),
        check=True,
        stdout=subprocess.DEVNULL,
    )
    try:
        yield f"postgresql://tester@127.0.0.1:{port}/postgres"
    finally:
        subprocess.run(
            _as_postgres("pg_ctl", "-D", data, "-m", "immediate", "stop"), check=True, stdout=subprocess.DEVNULL
        )
        subprocess.run(_as_postgres("rm", "-rf", str(place)), check=True)


@pytest.fixture(scope="session", autouse=True)
def _thrift() -> Iterator[None]:
    """What is dear on purpose is cheap for the whole run: a fifth of all its time."""
    with thrift():
        yield


@pytest.fixture
def full_cost() -> Iterator[None]:
    """For the tests of what is dear on purpose."""
    with at_full_cost():
        yield


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test touches the home of the person who runs it."""
    monkeypatch.setenv("DAVAULT_HOME", str(tmp_path / "davault-home"))
    monkeypatch.delenv("DAVAULT_CATALOGUE", raising=False)
    monkeypatch.delenv("DAVAULT_HOST", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg-cache"))
