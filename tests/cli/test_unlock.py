"""Locks of living programs stay; those of dead ones, and on demand all, go."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path


def test_unlock_removes_what_a_dead_program_left_and_spares_the_living(davault, docs, tmp_path: Path, restic_new):
    davault("init", docs)
    served = tmp_path / "store" / "backups"
    assert davault("unlock", docs, "--json").document == {"config": docs, "removed": [], "reasons": {}}

    killed = _lock_of_a_killed_restic(restic_new, served)
    assert davault("backup", docs).code == 0  # a shared lock hinders no backup
    unlocked = davault("unlock", docs, "--json").document
    assert unlocked["removed"] == [killed]
    assert re.fullmatch(r"process \d+ of this machine has ended", unlocked["reasons"][killed])
    assert list(served.glob("locks/*")) == []
    assert "0 locks removed" in davault("unlock", docs, "--all").stdout


def _lock_of_a_killed_restic(restic, served: Path) -> str:
    """Kill restic while it holds its lock, reading from a pipe that never ends."""
    process = subprocess.Popen(
        [restic.program, "--no-cache", "--repo", str(served), "backup", "--stdin"],
        env={**os.environ, "RESTIC_PASSWORD": "key-of-the-repository", "HOME": "/nonexistent"},
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    while not (locks := [path.name for path in served.glob("locks/*") if "-tmp-" not in path.name]):
        assert process.poll() is None, process.stderr and process.stderr.read()
    process.kill()
    process.communicate()
    return locks[0]
