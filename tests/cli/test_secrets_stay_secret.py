"""The whole command line with marked secrets, at debug level: they show up nowhere but where they are kept."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backup_core.testing.leaks import spellings
from backup_core.testing.webdav_server import Answer, Request, WebDAVServer

PASSWORD = "test-password"
KEY = "marked-key-Ω7 with spaces"
NEW_KEY = "marked-new-key-%&/8"
WRONG = "marked-wrong-password-99"


def leaks(text: bytes, *secrets: str) -> list[str]:
    return [secret for secret in secrets if any(spelling in text for spelling in spellings(secret, "tester"))]


def files_below(top: Path, *, without: tuple[str, ...] = ()) -> Iterator[Path]:
    for path in sorted(top.rglob("*")):
        if path.is_file() and not {part.name for part in [path, *path.parents]} & set(without):
            yield path


def test_no_command_shows_a_secret(
    davault: Any, dav: WebDAVServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, programs: list[Any]
) -> None:
    for name, value in {"DAV_PASSWORD": PASSWORD, "THE_KEY": KEY, "THE_NEW_KEY": NEW_KEY, "WRONG": WRONG}.items():
        monkeypatch.setenv(name, value)
    home, log, source = tmp_path / "home", tmp_path / "log", tmp_path / "source"
    source.mkdir()
    (source / "one.txt").write_text("one")
    file = tmp_path / "key.txt"
    file.write_text(NEW_KEY + "\n")
    said = b""

    def run(*words: str, code: int | None = 0) -> Any:
        nonlocal said
        ended = davault(*words, "--home", home, "--log-level", "debug", "--log-file", log, code=code)
        said += (ended.stdout + ended.stderr).encode("utf-8", "surrogateescape")
        return ended

    run("client", "add", "c", "--url", dav.url, "--username", "tester", "--password-env", "DAV_PASSWORD")
    run("client", "add", "bad", "--url", dav.url, "--username", "tester", "--password-env", "WRONG")
    run("config", "add", "docs", "--client", "c", "--path", "/r", "--source", str(source), "--key-env", "THE_KEY",
        "--before", 'echo "$THE_KEY $DAVAULT_KEY $DAV_PASSWORD"; cat ' + str(file), "--after", "env",
        "--command", "dump=echo dump; env >&2")  # fmt: skip
    run("config", "add", "wrong", "--client", "bad", "--path", "/r", "--source", str(source), "--key-env", "THE_KEY")
    run("config", "add", "locked", "--client", "c", "--path", "/r", "--source", str(source), "--key-env", "WRONG")
    for words in (["client", "list"], ["config", "list"], ["config", "show", "docs"], ["config", "export"], ["doctor"]):
        run(*words, code=None)
        run(*words, "--json", code=None)
    run("backup", "docs", code=None)
    run("backup", "docs", "--type", "full", "--json", code=None)
    run("backup", "wrong", code=6)
    run("backup", "locked", code=7)
    run("config", "edit", "docs", "--before", "cat /dev/null; exit 3")
    run("backup", "docs", code=1)
    run("config", "edit", "docs", "--clear", "hooks", "--clear", "command_sources")
    dav.fault = _server_error
    run("validate", "--config", "docs", code=None)
    dav.fault = None
    run("validate", "--config", "docs", "--depth", "restore")
    run("restore", "docs", "--target", str(tmp_path / "back"))
    run("key", "add", "docs", "--new-key-file", str(file))
    run("key", "list", "docs", "--json")
    run("key", "change", "docs", "--new-key-env", "THE_KEY", code=5)
    run("key", "change", "docs")
    run("client", "probe", "bad", code=None)
    for words in (["list", "--json"], ["usage"], ["stats", "--json"], ["health"], ["mirror", "docs"], ["prune", "docs"],
                  ["repair", "index", "docs"], ["config", "export"], ["unlock", "docs"]):  # fmt: skip
        run(*words, code=None)

    made = next(home.joinpath("keys").iterdir()).read_text().strip()
    secrets = (PASSWORD, KEY, NEW_KEY, WRONG, made)
    # A command printed NEW_KEY, into the log, before anybody had told the program that it is a secret.
    known = (PASSWORD, KEY, WRONG, made)
    assert leaks(said, *known) == []
    assert leaks(log.read_bytes(), *known) == []
    for path in files_below(home, without=("keys", "secrets")):
        assert leaks(path.read_bytes(), *secrets) == [], path
    for path in files_below(dav.root):
        assert leaks(path.read_bytes(), *secrets) == [], path
    assert leaks(repr(programs).encode(), *secrets) == []
    assert programs  # and programs were started


def _server_error(request: Request) -> Answer | None:
    # A server that sends back what it was sent, as some error pages do.
    echo = "".join(f"{name}: {value}\n" for name, value in request.headers.items())
    return Answer("400 Bad Request", echo.encode()) if request.method == "GET" else None


def test_the_home_is_for_its_owner_alone(davault: Any, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "one.txt").write_text("one")
    home = tmp_path / "home"
    davault("client", "add", "disk", "--url", str(tmp_path / "store"), "--home", home)
    davault("config", "add", "docs", "--client", "disk", "--path", "/r", "--source", str(source), "--home", home)
    davault("backup", "docs", "--home", home)
    davault("key", "change", "docs", "--home", home)
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    private = [*(home / "keys").rglob("*"), *(home / "secrets").rglob("*"), *(home / "cache").rglob("*")]
    assert [path for path in private if path.stat().st_mode & 0o077] == []
    assert [path for path in home.iterdir() if path.is_dir() and path.stat().st_mode & 0o077] == []
    assert len(list((home / "keys").iterdir())) == 2
