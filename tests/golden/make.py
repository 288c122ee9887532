"""Makes a golden repository: ``python tests/golden/make.py NAME PROGRAM [VERSION]``, for each release of a program.

``NAME.tar.xz`` holds the repository as PROGRAM wrote it (password "golden": two backups of a tree that changed
between), ``NAME.json`` what each backup holds. Files that are there are never made anew: they stand for repositories
of users. PROGRAM is a restic, or our own ``davault``; VERSION is the format's, for programs that can choose.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from backup_core.testing.trees import change_tree, describe, make_tree, settle_times

HERE = Path(__file__).parent
PASSWORD = "golden"


def make_source(root: Path) -> Path:
    """Small, with one of everything that needs no rights to restore."""
    make_tree(root, files=14, largest=12_000)
    (root / "large.log").write_bytes(b"".join(b"%d a line of a log\n" % number for number in range(40_000)))
    (root / "空目录").mkdir()
    (root / "link").symlink_to("large.log")
    (root / "dangling").symlink_to("nowhere/名字")
    os.link(root / "large.log", root / "twin.log")
    Path(os.fsdecode(os.fsencode(root) + b"/not utf-8 \xff\xfe")).write_bytes(b"odd name")
    (root / "empty").touch()
    settle_times(root)
    return root


def told(root: Path) -> list[list[Any]]:
    """What ``describe`` finds, fit for JSON; owners and extended attributes depend on who runs this."""
    return [
        [base64.b64encode(name).decode(), e.kind, e.mode, e.mtime_ns, e.size, e.digest,
         base64.b64encode(e.target).decode(), base64.b64encode(e.twin).decode()]
        for name, e in sorted(describe(root).items())
    ]  # fmt: skip


def write_with_restic(program: str, version: str, place: Path, source: Path) -> list[list[list[Any]]]:
    """Two backups; what was there each time."""
    environment = {**os.environ, "RESTIC_PASSWORD": PASSWORD}
    command = [program, "--no-cache", "--repo", str(place)]
    subprocess.run(
        [*command, "init", *(["--repository-version", version] if version else [])], env=environment, check=True
    )
    states = []
    for seed in (3, 4):
        subprocess.run([*command, "backup", source.name], cwd=source.parent, env=environment, check=True)
        states.append(told(source))
        change_tree(source, seed=seed)
    return states


def write_with_davault(program: str, place: Path, source: Path) -> list[list[list[Any]]]:
    """Two backups; what was there each time."""
    environment = {**os.environ, "DAVAULT_HOME": str(place.with_name("home")), "GOLDEN": PASSWORD}

    def run(*arguments: str) -> None:
        subprocess.run([program, *arguments], env=environment, check=True)

    run("client", "add", "here", "--url", place.parent.as_uri())
    run(
        "config",
        "add",
        "golden",
        "--client",
        "here",
        "--path",
        place.name,
        "--source",
        str(source),
        "--key-env",
        "GOLDEN",
    )
    run("init", "golden")
    states = []
    for kind in ("full", "incremental"):
        run("backup", "golden", "--type", kind)
        states.append(told(source))
        change_tree(source, seed=5)
    return states


def main() -> None:
    name, program, version = [*sys.argv[1:], ""][:3]
    archive = HERE / f"{name}.tar.xz"
    if archive.exists():
        sys.exit(f"{archive} is there already")
    with tempfile.TemporaryDirectory() as top:
        place, source = Path(top) / "repository", make_source(Path(top) / "source")
        if Path(program).name == "davault":
            states = write_with_davault(program, place, source)
        else:
            states = write_with_restic(program, version, place, source)
        with tarfile.open(archive, "w:xz") as file:
            file.add(place, arcname="repository")
    (HERE / f"{name}.json").write_text(json.dumps(states, indent=0) + "\n")


if __name__ == "__main__":
    main()
