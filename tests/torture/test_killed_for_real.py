"""The real program, killed with SIGKILL while it talks to a real server, over and over on the same repository.

A few times in ``make test``; ``DAVAULT_KILLS=100`` for as many as one likes. Moments are requests, not seconds: the
server kills the program when the chosen request comes in, so a run can be repeated.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from backup_core.testing.tally import Tally
from backup_core.testing.trees import change_tree, describe, differences, make_tree
from backup_core.testing.webdav_server import Answer, Request, WebDAVServer

KILLS = int(os.environ.get("DAVAULT_KILLS", "3"))
PROGRAM = "import sys; from backup_core.cli import main; sys.exit(main(sys.argv[1:]))"
OK, BUSY = 0, 8
JOBS = (
    ("backup", "档案", "--type", "incremental"),
    ("backup", "档案", "--type", "full"),
    ("cleanup", "档案", "--keep-last", "2", "--prune", "--yes"),
)


class Machine:
    """Runs the program in processes of its own against ``server``, which can kill them."""

    def __init__(self, top: Path, server: WebDAVServer) -> None:
        self.top, self.server = top, server
        self.environment = {
            **os.environ,
            "DAVAULT_HOME": str(top / "home"),
            "ACCOUNT": server.password.reveal(),
            "KEY": "a key that nobody guesses",
        }

    def run(self, *words: object, kill_at: int | None = None) -> int:
        """The exit code of one command line; ``kill_at``: the request (from 0) at which it is killed."""
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *map(str, words)],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        left = [kill_at]

        def strike(_: Request) -> Answer | None:
            if left[0] is not None:
                left[0] -= 1
                if left[0] < 0:
                    left[0] = None
                    os.killpg(process.pid, 9)
            return None

        self.server.fault = strike
        self.told, _ = process.communicate(timeout=300)
        self.server.fault = None
        return process.returncode

    def surely(self, *words: object) -> None:
        """Run what must succeed; the lock of a killed process is removed as the program advises."""
        code = self.run(*words)
        if code == BUSY:
            assert self.run("unlock", "档案") == OK, self.told
            code = self.run(*words)
        assert code == OK, self.told.decode()


@pytest.mark.slow
@pytest.mark.restic
def test_it_survives_being_killed_again_and_again(tmp_path: Path, dav: WebDAVServer, restic_new: Any) -> None:
    chance = random.Random(int(os.environ.get("DAVAULT_SEED", "1")))
    source = make_tree(tmp_path / "source", files=25, largest=60_000)
    machine = Machine(tmp_path, dav)
    machine.surely("client", "add", "nas", "--url", dav.url, "--username", dav.username, "--password-env", "ACCOUNT")
    machine.surely(
        "config", "add", "档案", "--client", "nas", "--path", "/存储", "--source", source, "--key-env", "KEY"
    )
    machine.surely("init", "档案")
    killed = 0
    for number in range(KILLS):
        change_tree(source, seed=number)
        machine.surely(*JOBS[0])
        change_tree(source, seed=1000 + number)
        job = JOBS[number % len(JOBS)]
        code = machine.run(*job, kill_at=chance.randrange(14))
        killed += code == -9
        assert code in (OK, BUSY, -9), machine.told.decode()
        if number % 5 == 4:
            machine.surely("backup", "档案")
            machine.surely("cleanup", "档案", "--keep-last", "3", "--prune", "--yes")
            machine.surely("validate", "--config", "档案", "--depth", "data")
            restic_new.check(dav.root / "存储", machine.environment["KEY"])
    machine.surely("backup", "档案")
    machine.surely("cleanup", "档案", "--keep-last", "1", "--prune", "--yes")
    restic_new.check(dav.root / "存储", machine.environment["KEY"])
    machine.surely("restore", "档案", "--target", tmp_path / "out")
    assert differences(describe(source), describe(tmp_path / "out" / "source")) == []
    assert killed >= KILLS // 3
    tally = Tally()
    tally.add(runs=KILLS, kills=killed)
    tally.write("kill -9 of the real program")
