"""Programs that run beside the one that started them: started, found again by a later one, watched and stopped.

What is known of each lies in a file of its own, so that a server that an earlier run left running is used again.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from backup_core.clock import Clock
from backup_core.config.home import Home
from backup_core.errors import BackupExecutionError
from backup_core.progress import CancelToken
from backup_core.services.private_files import write_private_file

START_TIME = 180.0
"""Seconds a program may take until it answers; Prefect's first start makes its database."""
STOP_TIME = 20.0
"""Seconds a program may take to end by itself."""
_POLL = 0.1
_LARGEST_LOG = 10 << 20
"""Bytes; a larger one is put aside at the next start, and the one put aside before it is dropped."""


@dataclass(frozen=True, slots=True)
class Running:
    """A program at work."""

    pid: int
    url: str
    """Without a trailing slash; "" when it is no server."""
    birth: str = ""
    """When the process began, in the system's own words: numbers of processes are used again."""


@dataclass(frozen=True, slots=True)
class Program:
    """How one program is started and recognised."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    url: str
    answers: Callable[[Running], bool]
    """True for this very program, belonging to this home, once it does its work."""


class Processes:
    """Those of one home."""

    def __init__(self, home: Home, clock: Clock) -> None:
        self._home = home
        self._clock = clock
        self.records = home.root / "servers"
        """Where it is written which of them run."""
        self.records.mkdir(mode=0o700, exist_ok=True)
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def find(self, name: str, answers: Callable[[Running], bool]) -> Running | None:
        """The program of this name if it runs and answers."""
        known = self.known(name)
        return known if known is not None and answers(known) else None

    def known(self, name: str) -> Running | None:
        """The program of this name if it was started and its process lives, whether it answers or not."""
        with suppress(OSError, ValueError, TypeError):
            server = Running(**json.loads(self._record(name).read_text()))
            if self._lives(name, server):
                return server
        return None

    def spawn(self, program: Program) -> Running:
        """Start it; it may not answer yet."""
        log = self.log(program.name)
        _put_aside(log)
        with log.open("ab") as output:
            # A session of its own: Ctrl+C in the terminal stops the flows, and these programs only after them.
            child = subprocess.Popen(
                program.command,
                env=dict(program.environment),
                cwd=self._home.root,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._children[program.name] = child
        server = Running(child.pid, program.url, _birth(child.pid))
        write_private_file(self._record(program.name), json.dumps(asdict(server)))
        return server

    def wait_for(self, program: Program, server: Running) -> None:
        """Return when it answers. Raises ``BackupExecutionError`` when it ended, or takes too long."""
        child = self._children.get(program.name)
        end = self._clock.monotonic() + START_TIME
        while not program.answers(server):
            if (child is not None and child.poll() is not None) or self._clock.monotonic() > end:
                raise BackupExecutionError(f"the {program.name} did not start; {self.log(program.name)} says why")
            self._clock.sleep(_POLL)

    def stop(self, name: str) -> bool:
        """End it with its children; False when it did not run."""
        known = self.known(name)
        if known is not None:
            self._end(name, known)
        self._children.pop(name, None)
        self._record(name).unlink(missing_ok=True)
        return known is not None

    def log(self, name: str) -> Path:
        """Where a program writes what it has to say."""
        return self._home.logs / f"{name}.log"

    def _record(self, name: str) -> Path:
        return self.records / f"{name}.json"

    def _lives(self, name: str, server: Running) -> bool:
        child = self._children.get(name)
        if child is not None and child.pid == server.pid:
            return child.poll() is None
        return server.birth != "" and server.birth == _birth(server.pid)

    def _end(self, name: str, server: Running) -> None:
        end = self._clock.monotonic() + STOP_TIME
        _signal_group(server.pid, signal.SIGTERM)
        while self._lives(name, server) and self._clock.monotonic() < end:
            self._clock.sleep(_POLL / 2)
        # Whatever of the group is left by now does not react any more.
        _signal_group(server.pid, signal.SIGKILL)
        if (child := self._children.get(name)) is not None:
            child.wait()


def follow(
    child: subprocess.Popen[str], say: Callable[[str], object], hurry: CancelToken, *, clock: Clock, most: float
) -> int:
    """Wait for a child whose lines go to ``say``; its exit code. It gets SIGTERM when ``hurry`` is set, and is killed
    after ``most`` seconds."""
    lines = child.stdout
    reader = threading.Thread(target=lambda: [say(line.rstrip("\n")) for line in lines or ()], daemon=True)
    reader.start()
    end = clock.monotonic() + most
    hurried = False
    while child.poll() is None and clock.monotonic() < end:
        if hurry.cancelled and not hurried:
            child.terminate()
            hurried = True
        clock.sleep(_POLL)
    if child.poll() is None:
        child.kill()
    reader.join()
    return child.wait()


def free_port(host: str, wanted: int) -> int:
    """``wanted`` if nobody listens there, so that addresses stay the same from run to run; else any free one."""
    for port in (wanted, 0):
        if can_listen(host, port):
            return _port_of(host, port)
    raise BackupExecutionError(f"there is no free port on {host}")


def can_listen(host: str, port: int) -> bool:
    """Whether a server could be started at this address."""
    with suppress(OSError):
        return bool(_port_of(host, port))
    return False


def _port_of(host: str, port: int) -> int:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)
        return int(probe.getsockname()[1])


def _birth(pid: int) -> str:
    """When a process began; "" when it is gone, or has ended and is only waited for."""
    with suppress(OSError):
        # After the program's name, which may hold anything and ends with the last bracket.
        facts = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return "" if facts[0] == "Z" else facts[19]
    if Path("/proc/self/stat").exists():
        return ""
    shown = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return shown.stdout.strip()


def _put_aside(log: Path) -> None:
    if log.exists() and log.stat().st_size > _LARGEST_LOG:
        log.replace(log.with_name(log.name + ".1"))


def _signal_group(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
