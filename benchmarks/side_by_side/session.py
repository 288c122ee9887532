"""One session: a data set, a server, and peers that take turns, so that a slow minute of the machine hits them all."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from backup_core.testing.server_programs import Server, running
from benchmarks.side_by_side import sampling
from benchmarks.side_by_side.data_sets import DataSet, ensure, one_file
from benchmarks.side_by_side.peers import Davault, Peer, Place, Restic
from benchmarks.side_by_side.results import Proof, Run
from benchmarks.side_by_side.server_log import ServerLog

CASES = ("first", "unchanged", "changed", "validate-quick", "validate-data", "restore", "one-file", "cleanup")


@dataclass(frozen=True, slots=True)
class Plan:
    """What a session measures."""

    name: str
    """When it began."""
    data_set: DataSet
    scale: float
    link: str
    cases: frozenset[str]
    rounds: int
    versions: int
    """Backups before the cleanup."""
    work: Path
    """Data sets and states of peers; on a disk."""
    target: Path
    """Restored files go here; in memory, so that the disk's file system does not hide everything else."""


class Session:
    """Measures; what it found is in ``runs`` and ``proofs``."""

    def __init__(self, plan: Plan, peers: Sequence[Peer], judge: Restic | None) -> None:
        self.runs: list[Run] = []
        self.proofs: list[Proof] = []
        self._plan = plan
        self._peers = peers
        self._judge = judge
        self._places: dict[str, Place] = {}
        self._round = 0

    def measure(self) -> None:
        """All cases, in the order in which a repository lives; raises ``CommandFailed``."""
        plan = self._plan
        source = ensure(plan.data_set, plan.work / "data", plan.scale)
        _warm(source)
        with (
            tempfile.TemporaryDirectory(prefix="davault-bench-", dir=plan.work) as states,
            running("apache") as server,
            _link(plan.link, server) as url,
        ):
            self._server = server
            assert server.access_log is not None
            self._log = ServerLog(server.access_log)
            for number in range(plan.rounds if "first" in plan.cases else 1):
                for peer in self._turns(number):
                    self._begin(peer, number, url, source, Path(states))
            for case in CASES[1:]:
                if case in plan.cases:
                    self._repeat(case, source)
            self._prove()

    def _turns(self, number: int) -> list[Peer]:
        """Another one begins each round."""
        shift = number % len(self._peers)
        return [*self._peers[shift:], *self._peers[:shift]]

    def _begin(self, peer: Peer, number: int, url: str, source: Path, states: Path) -> None:
        """A first backup into a new repository; the one of the round before is removed."""
        if old := self._places.get(peer.name):
            shutil.rmtree(self._server.served / old.folder)
            shutil.rmtree(old.state)
        state = states / f"{peer.name}-{number}"
        state.mkdir()
        place = Place(url, f"{peer.name}-{number}", state, source, one_file(source))
        self._places[peer.name] = place
        for command in peer.prepare(place):
            sampling.run(command, peer.environment(place), state / "said")
        self._run(peer, "first")

    def _repeat(self, case: str, source: Path) -> None:
        if case == "cleanup":
            for _ in range(self._plan.versions):
                self._change(source)
                for peer in self._peers:
                    if peer.command(case, self._places[peer.name], self._plan.target):
                        self._run(peer, "changed", report=False)
        for number in range(1 if case == "cleanup" else self._plan.rounds):
            if case == "changed":
                self._change(source)
            for peer in self._turns(number):
                self._run(peer, case)

    def _change(self, source: Path) -> None:
        """Numbers go on from session to session, so that no change is made twice."""
        count = source.with_name(f"{source.name}.changes")
        number = int(count.read_text()) + 1 if count.exists() else 1
        self._plan.data_set.change(source, number)
        count.write_text(str(number))

    def _run(self, peer: Peer, case: str, *, report: bool = True) -> None:
        plan, place = self._plan, self._places[peer.name]
        target = plan.target / f"davault-bench-{peer.name}"
        command = peer.command(case, place, target)
        if command is None:
            return
        os.sync()  # what others wrote is not paid for by this one
        self._log.read_on()
        cost = sampling.run(command, peer.environment(place), place.state / "said")
        seen = self._log.read_on()
        if target.exists():
            if peer.command("changed", place, target):  # the floor has only the first state
                self._compare(case, place, target)
            shutil.rmtree(target)
        if case not in plan.cases or not report:
            return
        stored = sum(path.stat().st_size for path in (self._server.served / place.folder).rglob("*") if path.is_file())
        run = Run(plan.name, plan.data_set.name, plan.scale, plan.link, case, peer.name, peer.version,
                  round(cost.wall, 3), round(cost.processor, 3), cost.peak_memory, seen.requests, seen.up, seen.down,
                  stored, round(cost.others, 2))  # fmt: skip
        self.runs.append(run)
        print(f"{plan.data_set.name:9} {plan.link:8} {case:15} {peer.name:12} {run.wall:8.2f} s {run.processor:8.2f} s "
              f"{run.memory / 1e6:7.0f} MB {run.requests:6} requests", file=sys.stderr)  # fmt: skip

    def _compare(self, case: str, place: Place, target: Path) -> None:
        """What was restored is what is there now; a benchmark of wrong answers would be worth nothing."""
        wanted = place.file.relative_to(place.source)
        restored = next(path for path in target.rglob(place.file.name) if path.is_file())
        if case == "restore":
            top = next(path for path in (target, *restored.parents) if (path / wanted).is_file())
            same = subprocess.run(["diff", "-rq", str(place.source), str(top)], check=False).returncode == 0
        else:
            same = restored.read_bytes() == place.file.read_bytes()
        if not same:
            raise sampling.CommandFailed(f"what {target.name} restored differs from {place.source}")

    def _prove(self) -> None:
        """restic reads all of what Davault and restic left behind."""
        if self._judge is None:
            return
        for peer in self._peers:
            if isinstance(peer, Davault | Restic):
                place = self._places[peer.name]
                environment = {**self._judge.environment(place), "RESTIC_CACHE_DIR": str(place.state / "judge")}
                environment["RESTIC_REPOSITORY"] = str(self._server.served / place.folder)
                command = [self._judge.program, "check", "--read-data"]
                said = subprocess.run(command, env=environment, capture_output=True, check=False)
                name = f"restic {self._judge.version.split(',')[0]}"
                sound = said.returncode == 0
                self.proofs.append(Proof(self._plan.name, self._plan.data_set.name, peer.name, name, sound))


def _warm(source: Path) -> None:
    """Have the data in memory. Otherwise whoever comes first would read them from the disk, and all others not."""
    for path in source.rglob("*"):
        if path.is_file():
            with path.open("rb", buffering=0) as file:
                while file.read(1 << 20):
                    pass


@contextmanager
def _link(link: str, server: Server) -> Iterator[str]:
    """The server's address, or that of a long line to it."""
    if link == "loopback":
        yield server.url
        return
    port = server.url.rstrip("/").rpartition(":")[2]
    command = [sys.executable, "-m", "benchmarks.side_by_side.shaping_proxy", port]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as proxy:
        assert proxy.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(proxy.stdout.readline())}/"
        finally:
            proxy.terminate()
