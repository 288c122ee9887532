"""The programs of ``davault serve``: started in order, started again when they break, ended without breaking a run."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backup_core.cli import units
from backup_core.clock import Clock
from backup_core.config.home import HOME_VARIABLE, Home
from backup_core.errors import BackupError, BackupExecutionError
from backup_core.progress import CancelToken
from deployments import POOL, worker_name
from deployments.catalogue_watch import CatalogueWatch
from flows._local_servers import PREFECT, WEBDAV, Address, LocalServers
from flows._processes import Processes, Program, Running, follow

WORKER = "worker"
POLL = 1.0
"""Seconds between two looks at the programs."""
ASKS_FOR_WORK = 5
"""Seconds between two questions of the worker for runs that are due: so long does a person wait at most."""
MOST_RESTARTS = 5
RESTARTS_WITHIN = 600.0
"""Seconds: programs that break more often than this have a cause that starting them again does not cure."""
LONGEST_STOP = 90.0
"""Seconds that draining may take beyond its patience."""

Say = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Options:
    """What the person who starts it may choose."""

    address: Address
    runs: int
    """At the same time."""
    patience: float
    """Seconds that runs get to end by themselves when everything is to stop."""


class ControlRoom:
    """Those of one home. ``say`` is told what happens, in lines."""

    def __init__(self, home: Home, options: Options, clock: Clock, say: Say) -> None:
        self._home = home
        self._options = options
        self._clock = clock
        self._say = say
        self._servers = LocalServers(home, clock, address=options.address)
        self._processes = Processes(home, clock)
        self._watch = CatalogueWatch(home, clock)
        self._environment: dict[str, str] = {}
        self._restarts: list[float] = []
        self.url = ""
        """Of the pages."""
        self.deployments: list[str] = []
        """As ``flow/deployment``."""

    def open(self) -> None:
        """Start everything. Raises ``BackupError`` when something does not start; ``close`` it then, too."""
        if self._servers.webdav_was_used:
            self._say("starting the home's own WebDAV server")
            self._servers.start_webdav()
        self._say("starting the Prefect server; the first time takes a minute")
        self.url = self._servers.start_prefect().url
        self._environment = self._servers.environment(self.url) | {
            HOME_VARIABLE: str(self._home.root),
            "PREFECT_WORKER_QUERY_SECONDS": str(ASKS_FOR_WORK),
        }
        self._register()
        if self._note.exists():  # asking costs seconds, which a first start need not take
            self._run("deployments.draining", "--open", "--note", str(self._note), say=None)
        self._start_worker()

    def watch(self, stop: CancelToken) -> None:
        """Keep everything at work until ``stop``. Raises ``BackupExecutionError`` when programs break again and
        again."""
        while not stop.wait(POLL):
            for name, start in self._programs().items():
                if self._processes.known(name) is None and not stop.cancelled:
                    self._count_restart(name)
                    self._say(f"the {name} has ended ({self._processes.log(name)} may say why); starting it again")
                    start()
            if self._watch.changed():
                self._register_again()

    def close(self, hurry: CancelToken) -> None:
        """Bring the runs to a good end, then end everything. ``hurry`` ends the patience."""
        if self._environment and self._processes.known(PREFECT) and self._processes.known(WORKER):
            self._drain(hurry)
        self._processes.stop(WORKER)
        self._servers.stop()

    # ---- parts

    @property
    def _note(self) -> Path:
        """The file that remembers that it was draining that closed the pool, and not a person."""
        return self._processes.records / "drained"

    def _programs(self) -> dict[str, Callable[[], object]]:
        known: dict[str, Callable[[], object]] = {
            PREFECT: self._servers.start_prefect,
            WORKER: self._start_worker,
        }
        if self._servers.webdav_was_used:
            known[WEBDAV] = self._servers.start_webdav
        return known

    def _start_worker(self) -> Running:
        # One that is left of a process that was killed goes on with its runs; a second one would not know of them.
        return self._processes.known(WORKER) or self._processes.spawn(self._worker())

    def _worker(self) -> Program:
        # Its runs have ended when it is stopped, or they do not end by themselves.
        options = ("--pool", POOL, "--name", worker_name(), "--limit", str(self._options.runs), "--patience", "0")
        command = (sys.executable, "-m", "deployments.worker", *options)
        return Program(WORKER, command, self._environment, "", lambda _: True)

    def _count_restart(self, name: str) -> None:
        now = self._clock.monotonic()
        self._restarts = [at for at in self._restarts if now - at < RESTARTS_WITHIN] + [now]
        if len(self._restarts) > MOST_RESTARTS:
            within = units.duration(RESTARTS_WITHIN)
            raise BackupExecutionError(
                f"programs broke {MOST_RESTARTS} times within {within}, the last was the {name}; "
                f"see {self._processes.log(name)}"
            )

    def _register(self) -> None:
        lines: list[str] = []
        self._run("deployments.register", "--json", say=lines.append)
        document: dict[str, Any] = json.loads("\n".join(lines))
        self.deployments = document["deployments"]
        self._say(f"{units.number(len(self.deployments))} deployments are registered")

    def _register_again(self) -> None:
        try:
            self._register()
        except BackupError as error:
            self._watch.forget()
            self._say(f"{error}; it is tried again")

    def _drain(self, hurry: CancelToken) -> None:
        try:
            patience = str(self._options.patience)
            words = ("deployments.draining", "--patience", patience, "--note", str(self._note))
            self._run(*words, say=self._say, hurry=hurry, most=self._options.patience + LONGEST_STOP)
        except BackupError as error:
            # Whatever keeps runs from ending must not keep everything from stopping.
            self._say(str(error))

    def _run(
        self,
        module: str,
        *words: str,
        say: Say | None,
        hurry: CancelToken | None = None,
        most: float = LONGEST_STOP,
    ) -> None:
        """Run a module of this program; its lines go to ``say``. Raises ``BackupExecutionError`` when it fails."""
        log = self._processes.log(module.rpartition(".")[2])
        with log.open("ab") as problems:
            child = subprocess.Popen(
                (sys.executable, "-m", module, *words),
                env=self._environment,
                cwd=self._home.root,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=problems,
                text=True,
                start_new_session=True,
            )
        code = follow(child, say or (lambda _: None), hurry or CancelToken(), clock=self._clock, most=most)
        if code != 0:
            raise BackupExecutionError(f"{module} ended with exit code {code}; {log} says why")
