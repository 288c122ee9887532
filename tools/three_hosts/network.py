"""Machines that are network namespaces: each has an address, a name and processes of its own on one switch.

No namespace has a way to anywhere else: the switch is a bridge in a namespace without any other interface.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

PREFIX = f"dv{os.getpid() % 10_000}"
SWITCH = f"{PREFIX}-switch"
NETWORK = "10.213.77"
STOP_TIME = 30.0


class NotPermitted(Exception):
    """This machine lets nobody make namespaces; says why."""


def ip(*words: str) -> None:
    """One call of iproute2."""
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


def look_whether_permitted() -> None:
    """Raise ``NotPermitted`` when namespaces cannot be made here."""
    probe = f"{PREFIX}-probe"
    try:
        ip("netns", "add", probe)
        ip("netns", "del", probe)
        subprocess.run(["unshare", "--uts", "true"], check=True, capture_output=True)
    except FileNotFoundError as error:
        raise NotPermitted(f"{error.filename} is not installed (iproute2, util-linux)") from error
    except subprocess.CalledProcessError as error:
        raise NotPermitted(f"namespaces cannot be made: {error.stderr or error}") from error


@dataclass
class Machine:
    """One namespace. Its processes see its name as the name of the machine."""

    name: str
    number: int
    top: Path
    environment: dict[str, str] = field(default_factory=dict)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """Of its only interface."""
        return f"{NETWORK}.{self.number}"

    @property
    def namespace(self) -> str:
        """Its name on this machine."""
        return f"{PREFIX}-{self.name}"

    def connect(self) -> None:
        """Make the namespace and put it on the switch."""
        port = f"p{self.number}"
        ip("netns", "add", self.namespace)
        ip("-n", self.namespace, "link", "set", "lo", "up")
        ip("-n", SWITCH, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", self.namespace)
        ip("-n", SWITCH, "link", "set", port, "master", "bridge", "up")
        ip("-n", self.namespace, "address", "add", f"{self.address}/24", "dev", "eth0")
        ip("-n", self.namespace, "link", "set", "eth0", "up")

    def plug(self, *, connected: bool) -> None:
        """Pull its cable out of the switch, or put it in again."""
        ip("-n", SWITCH, "link", "set", f"p{self.number}", "up" if connected else "down")

    def command(self, words: Sequence[str]) -> list[str]:
        """A command line as this machine runs it."""
        named = ["unshare", "--uts", "sh", "-c", f'hostname {self.name} && exec "$@"', "sh"]
        return ["ip", "netns", "exec", self.namespace, *named, *words]

    def run(self, *words: str, check: bool = True, environment: Mapping[str, str] | None = None) -> str:
        """Run something to its end; its standard output."""
        done = subprocess.run(
            self.command(words),
            env={**self.environment, **(environment or {})},
            cwd=self.top,
            capture_output=True,
            text=True,
            check=False,
        )
        if check and done.returncode != 0:
            raise RuntimeError(
                f"{self.name}: {' '.join(words)} ended with {done.returncode}: {done.stdout}{done.stderr}"
            )
        return done.stdout

    def start(self, name: str, *words: str) -> None:
        """Start a program that stays; what it says goes to a file."""
        with (self.top / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                self.command(words),
                env=self.environment,
                cwd=self.top,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill(self, name: str) -> None:
        """A program and everything it has started, with SIGKILL: what a power cut does to them."""
        self._signal(name, signal.SIGKILL)
        self.processes.pop(name).wait()

    def stop(self, name: str) -> None:
        """Ask a program to end, and wait for it."""
        process = self.processes.pop(name)
        os.kill(process.pid, signal.SIGTERM)
        try:
            process.wait(STOP_TIME)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _signal(self, name: str, number: signal.Signals) -> None:
        for pid in with_children(self.processes[name].pid):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def switch_off(self) -> None:
        """End everything that runs here."""
        for name in list(self.processes):
            with suppress(ProcessLookupError):
                self.kill(name)


def with_children(pid: int) -> list[int]:
    """A process and all below it, whatever session they have made for themselves."""
    found = [pid]
    for one in found:
        listed = subprocess.run(["pgrep", "-P", str(one)], capture_output=True, text=True, check=False).stdout
        found += [int(word) for word in listed.split()]
    return found


class Network:
    """A switch and its machines; a context manager that leaves nothing behind."""

    def __init__(self, machines: Sequence[Machine]) -> None:
        self.machines = machines

    def __enter__(self) -> Network:
        ip("netns", "add", SWITCH)
        ip("-n", SWITCH, "link", "add", "bridge", "type", "bridge")
        ip("-n", SWITCH, "link", "set", "bridge", "up")
        for machine in self.machines:
            machine.connect()
        return self

    def __exit__(self, *_: object) -> None:
        for machine in self.machines:
            machine.switch_off()
        for name in (*(machine.namespace for machine in self.machines), SWITCH):
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def wait_for(what: str, answers, *, most: float = 300.0, every: float = 0.5) -> None:
    """Return as soon as ``answers()`` is true. Raises ``RuntimeError`` when it never is."""
    end = time.monotonic() + most
    while not answers():
        if time.monotonic() > end:
            raise RuntimeError(f"waited {most:.0f} seconds in vain for {what}")
        time.sleep(every)
