"""The programs that are compared, each driven as its user drives it, with its own defaults."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from backup_core.testing.server_programs import PASSWORD, USER

KEY = "correct horse battery staple"
_BARE = {name: os.environ[name] for name in ("PATH", "LANG", "TZ") if name in os.environ}


@dataclass(frozen=True, slots=True)
class Place:
    """Where one peer's backups of one data set go, and what it remembers between two commands."""

    url: str
    """Root of the server, with a slash; through the shaping proxy when the line is a long one."""
    folder: str
    """On the server."""
    state: Path
    """Cache, catalogue, configuration."""
    source: Path
    file: Path
    """The one file that is restored alone."""


class Peer(Protocol):
    """One program."""

    name: str
    version: str

    def missing(self) -> str:
        """What is not installed; empty when nothing is."""
        ...

    def environment(self, place: Place) -> dict[str, str]:
        """Variables of its commands."""
        ...

    def prepare(self, place: Place) -> list[list[str]]:
        """Commands that make an empty repository; they are not measured."""
        ...

    def command(self, case: str, place: Place, target: Path) -> list[str] | None:
        """The command of a case; None when this program has none for it. ``target`` is restored to."""
        ...


def _shell(*commands: str) -> list[str]:
    return ["bash", "-euo", "pipefail", "-c", " && ".join(commands)]


def _version_of(program: str, *arguments: str, pattern: str) -> str:
    said = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    found = re.search(pattern, said.stdout + said.stderr)
    return found[1] if found else "unknown"


class Davault:
    """This program, from the start of the process to its end."""

    name = "davault"

    def __init__(self) -> None:
        self._program = str(Path(sys.executable).with_name("davault"))
        self.version = _version_of(self._program, "--version", pattern=r"(\d[\w.]*)")

    def missing(self) -> str:
        return "" if shutil.which(self._program) else self._program

    def environment(self, place: Place) -> dict[str, str]:
        return {**_BARE, "HOME": str(place.state), "DAVAULT_HOME": str(place.state / "home"), "DAVAULT_KEY": KEY,
                "BENCH_PASSWORD": PASSWORD}  # fmt: skip

    def prepare(self, place: Place) -> list[list[str]]:
        client = ["client", "add", "bench", "--url", place.url, "--username", USER, "--password-env", "BENCH_PASSWORD"]
        config = ["config", "add", "set", "--client", "bench", "--path", f"/{place.folder}", "--source"]
        return [[self._program, *words] for words in (client, [*config, str(place.source)], ["init", "set"])]

    def command(self, case: str, place: Place, target: Path) -> list[str] | None:
        words = {
            "first": ["backup", "set"],
            "unchanged": ["backup", "set"],
            "changed": ["backup", "set"],
            "validate-quick": ["validate", "--config", "set"],
            "validate-data": ["validate", "--config", "set", "--depth", "data"],
            "restore": ["restore", "set", "--target", str(target)],
            "one-file": ["restore", "set", "--target", str(target), "--pattern", str(place.file)],
            "cleanup": ["cleanup", "set", "--keep-count", "3", "--prune", "--yes"],
        }
        return [self._program, *words[case]] if case in words else None


class Restic:
    """restic with rclone's WebDAV backend."""

    def __init__(self, name: str, program: str) -> None:
        self.name = name
        self.program = program
        restic = _version_of(program, "version", pattern=r"restic (\S+)") if shutil.which(program) else ""
        rclone = _version_of("rclone", "version", pattern=r"rclone v(\S+)") if shutil.which("rclone") else ""
        self.version = f"{restic}, rclone {rclone}"

    def missing(self) -> str:
        return next((need for need in (self.program, "rclone") if not shutil.which(need)), "")

    def environment(self, place: Place) -> dict[str, str]:
        hidden = subprocess.run(["rclone", "obscure", PASSWORD], capture_output=True, text=True, check=True)
        return {
            **_BARE,
            "HOME": str(place.state),
            "RESTIC_CACHE_DIR": str(place.state / "cache"),
            "RESTIC_REPOSITORY": f"rclone:bench:{place.folder}",
            "RESTIC_PASSWORD": KEY,
            "RCLONE_CONFIG": str(place.state / "rclone.conf"),
            "RCLONE_CONFIG_BENCH_TYPE": "webdav",
            "RCLONE_CONFIG_BENCH_URL": place.url,
            "RCLONE_CONFIG_BENCH_VENDOR": "other",
            "RCLONE_CONFIG_BENCH_USER": USER,
            "RCLONE_CONFIG_BENCH_PASS": hidden.stdout.strip(),
        }

    def prepare(self, place: Place) -> list[list[str]]:
        return [[self.program, "init"]]

    def command(self, case: str, place: Place, target: Path) -> list[str] | None:
        words = {
            "first": ["backup", str(place.source)],
            "unchanged": ["backup", str(place.source)],
            "changed": ["backup", str(place.source)],
            "validate-quick": ["check"],
            "validate-data": ["check", "--read-data"],
            "restore": ["restore", "latest", "--target", str(target)],
            "one-file": ["restore", "latest", "--target", str(target), "--include", str(place.file)],
            "cleanup": ["forget", "--keep-last", "3", "--prune"],
        }
        return [self.program, *words[case]] if case in words else None


class Duplicity:
    """duplicity's own WebDAV backend, with its defaults: gzip, and GnuPG with a password."""

    name = "duplicity"

    def __init__(self) -> None:
        installed = shutil.which("duplicity")
        self.version = _version_of("duplicity", "--version", pattern=r"duplicity (\S+)") if installed else ""

    def missing(self) -> str:
        return next((need for need in ("duplicity", "gpg") if not shutil.which(need)), "")

    def environment(self, place: Place) -> dict[str, str]:
        return {**_BARE, "HOME": str(place.state), "PASSPHRASE": KEY, "FTP_PASSWORD": PASSWORD}

    def prepare(self, place: Place) -> list[list[str]]:
        return []

    def command(self, case: str, place: Place, target: Path) -> list[str] | None:
        url = f"webdav://{USER}@{place.url.removeprefix('http://')}{place.folder}"
        source = str(place.source)
        words = {
            "first": ["full", source, url],
            "unchanged": ["incremental", source, url],
            "changed": ["incremental", source, url],
            "restore": ["restore", url, str(target)],
            "one-file": ["restore", "--file-to-restore", str(place.file.relative_to(place.source)), url,
                         str(target / place.file.name)],
        }  # fmt: skip
        return ["duplicity", *words[case]] if case in words else None


class Floor:
    """``tar | zstd -3 | curl``: no encryption, no second version, no check; nothing that stores files is faster."""

    name = "floor"

    def __init__(self) -> None:
        zstd = _version_of("zstd", "--version", pattern=r"v(\d[\w.]*)") if shutil.which("zstd") else ""
        self.version = f"tar, zstd {zstd}, curl"

    def missing(self) -> str:
        return next((need for need in ("tar", "zstd", "curl", "bash") if not shutil.which(need)), "")

    def environment(self, place: Place) -> dict[str, str]:
        return {**_BARE, "HOME": str(place.state), "LOGIN": f"{USER}:{PASSWORD}"}

    def prepare(self, place: Place) -> list[list[str]]:
        return [_shell(f'curl -sSf -u "$LOGIN" -X MKCOL {place.url}{place.folder}/')]

    def command(self, case: str, place: Place, target: Path) -> list[str] | None:
        url, source, to = (
            f"{place.url}{place.folder}/all.tar.zst",
            shlex.quote(str(place.source)),
            shlex.quote(str(target)),
        )
        lines = {
            "first": f'tar -cf - -C {source} . | zstd -q -3 | curl -sSf -u "$LOGIN" -T - {url}',
            "restore": f'mkdir -p {to} && curl -sSf -u "$LOGIN" {url} | zstd -q -d | tar -xf - -C {to}',
        }
        return _shell(lines[case]) if case in lines else None


def all_peers(restic: Mapping[str, str]) -> list[Peer]:
    """Davault first; ``restic`` names the programs of the versions that are wanted."""
    return [Davault(), *(Restic(name, program) for name, program in restic.items()), Duplicity(), Floor()]
