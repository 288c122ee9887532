"""A real Prefect server and real workers, as processes of their own, and a WebDAV server that takes its time."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import pytest
from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId, LogFilter, LogFilterFlowRunId
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.events.worker import EventsWorker
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings
from prefect.states import Cancelling

from backup_core.clock import SystemClock
from backup_core.config.home import Home
from backup_core.config.models import BackupConfig, ClientConfig
from backup_core.services.application import open_application
from backup_core.testing.webdav_server import Answer, Request, WebDAVServer
from deployments.choices import Choices
from deployments.planning import plan
from deployments.register import make_deployment, register_pool
from flows._local_servers import LocalServers
from flows._runtime import ensure_limit, writer_limit
from flows._settings import server_environment

from . import prefect_database

T = TypeVar("T")
WATCH = """
import os, sys
_log = os.open(os.environ["WATCH_LOG"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
_say = lambda *words: os.write(_log, (chr(31).join(map(str, words)) + chr(10)).encode())
def _hook(event, arguments):
    if event in ("socket.connect", "socket.sendto"):
        address = arguments[1] if isinstance(arguments[1], tuple) else None
        if address: _say("call", os.getpid(), event, address[0])
    elif event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
        host = arguments[0]
        _say("call", os.getpid(), event, host.decode() if isinstance(host, bytes) else host)
_say("process", os.getpid(), *sys.orig_argv)
sys.addaudithook(_hook)
"""
"""For every Python process of a room: writes down whom it calls, and whose name it asks for."""
PROJECT = Path(__file__).resolve().parents[2]


class Gate:
    """Lets some packs through to a WebDAV server, and the others only when told to."""

    def __init__(self, free: int) -> None:
        self._free = free
        self._left = free
        self.opened = threading.Event()
        self.arrived = threading.Event()
        """A pack is waiting."""
        self.passed = 0
        """Packs that were let through."""

    def close(self) -> None:
        """Once more let some through, and no others."""
        self._left = self._free
        self.arrived.clear()
        self.opened.clear()

    def cancel(self, room: ControlRoom, run: UUID) -> None:
        """Have a run cancelled as the pages do it, and let the packs that wait through once it has noticed."""
        with room.client() as client:
            client.set_flow_run_state(run, Cancelling())
        room.until(lambda: "stopping" in room.log(run), what="the run has noticed that it is cancelled")
        self.opened.set()

    def __call__(self, request: Request) -> Answer | None:
        if request.method == "PUT" and "/data/" in request.path:
            if self._left <= 0:
                self.arrived.set()
                self.opened.wait(300)
            self._left -= 1
            self.passed += 1
        return None


class ControlRoom:
    """One server, with workers that are started, killed and stopped by a test."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.home = Home.at(place / "home").create()
        self.servers = LocalServers(self.home, SystemClock())
        self.workers: list[subprocess.Popen[bytes]] = []
        self.environment: dict[str, str] = {}
        self.url = ""

    @contextmanager
    def open(self) -> Iterator[ControlRoom]:
        """Start the server; in the end everything is ended."""
        with ExitStack() as stack:
            patch = stack.enter_context(pytest.MonkeyPatch.context())
            watch = self.place / "watch"
            watch.mkdir()
            (watch / "sitecustomize.py").write_text(WATCH)
            patch.setenv("PYTHONPATH", os.pathsep.join((str(watch), str(PROJECT))))
            patch.setenv("WATCH_LOG", str(self.place / "calls"))
            stack.callback(self._close)
            prefect_database.begin_with(self.home.prefect / "prefect.db")
            self.url = self.servers.start_prefect().url
            extra = {
                "DAVAULT_HOME": str(self.home.root),
                "PREFECT_WORKER_QUERY_SECONDS": "1",
                "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
            }
            self.environment = server_environment(self.home.prefect, self.url, base=os.environ) | extra
            settings: dict[Any, Any] = {PREFECT_API_URL: f"{self.url}/api", PREFECT_HOME: self.home.prefect}
            stack.enter_context(temporary_settings(settings))
            # Whoever sends a process's events is kept, with the address of the server that earlier tests had.
            EventsWorker.drain_all()
            stack.callback(EventsWorker.drain_all)
            register_pool()
            yield self

    def _close(self) -> None:
        self.stop_workers()
        self.servers.stop()

    def restart_server(self) -> None:
        """Kill the server, and start it again at its address."""
        self.servers.stop()
        assert self.servers.start_prefect().url == self.url

    def configure(
        self, name: str, dav: WebDAVServer, *, megabytes: int = 40, path: str = "/backups", **limits: Any
    ) -> BackupConfig:
        """A configuration over random bytes, in packs of 4 MiB, with the deployments of its backups."""
        source = self.place / f"files-{name}"
        source.mkdir()
        chance = random.Random(megabytes)
        for number in range(megabytes // 4):
            (source / f"{number}.bin").write_bytes(chance.randbytes(4 << 20))
        config = BackupConfig(
            name=name, source_paths=[str(source)], target_client_id="cloud", target_path=path, pack_size="4M"
        )
        with open_application(self.home) as application:
            client = ClientConfig(name="cloud", url=dav.url, username=dav.username, parallel_requests=2, **limits)
            application.add_client(client, password=dav.password, replace=True)
            application.add_config(config)
        self.deploy(config)
        ensure_limit(writer_limit(config))
        return config

    def deploy(self, config: BackupConfig) -> None:
        """The deployments of a configuration's backups."""
        for planned in plan(config, "Etc/UTC")[:2]:
            make_deployment(planned, Choices.of([config], [])).apply()

    def stop_workers(self) -> None:
        """End those that are left, as a power cut would."""
        for worker in self.workers:
            if worker.poll() is None:
                worker.kill()
                worker.wait()

    def start_worker(self, *options: str) -> subprocess.Popen[bytes]:
        """A worker of ours."""
        log = (self.place / "worker.log").open("ab")
        command = [sys.executable, "-m", "deployments.worker", "--name", "tester", *options]
        worker = subprocess.Popen(
            command, env=self.environment, cwd=self.place, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        self.workers.append(worker)
        return worker

    def run(self, deployment: str, **parameters: Any) -> UUID:
        """Have a deployment run as soon as possible."""
        with self.client() as client:
            found = client.read_deployment_by_name(deployment)
            return client.create_flow_run_from_deployment(found.id, parameters=parameters).id

    @contextmanager
    def client(self) -> Iterator[SyncPrefectClient]:
        with get_client(sync_client=True) as client:
            yield client

    def read(self, run: UUID) -> FlowRun:
        with self.client() as client:
            return client.read_flow_run(run)

    def until(self, question: Callable[[], T], *, what: str | Callable[[], str], seconds: float = 120) -> T:
        """Ask until the answer is true."""
        clock = SystemClock()
        end = clock.monotonic() + seconds
        while not (answer := question()):
            if clock.monotonic() > end:
                log = (self.place / "worker.log").read_text(errors="replace")[-5000:]
                missing = what if isinstance(what, str) else what()
                pytest.fail(f"after {seconds} seconds still not: {missing}\n{log}")
            clock.sleep(0.2)
        return answer

    def ended(self, run: UUID, *, seconds: float = 120) -> FlowRun:
        """The run, once it has ended."""

        def final() -> FlowRun | None:
            found = self.read(run)
            return found if found.state is not None and found.state.is_final() else None

        found = self.until(final, what=f"run {run} has ended", seconds=seconds)
        assert found is not None
        return found

    def process(self, run: UUID) -> int:
        """Number of the process that carries a run out."""
        return int(self.until(lambda: self.read(run).infrastructure_pid, what="the run has a process"))

    def outcomes(self, name: str) -> list[str]:
        """How the runs of a configuration ended, newest first, as the catalogue has it."""
        with open_application(self.home) as application:
            return [row.outcome for row in application.manager.backup_service.catalogue.history.runs(name)]

    def log(self, run: UUID) -> str:
        """A run's log."""
        with self.client() as client:
            lines = client.read_logs(LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run])))
        return "\n".join(line.message for line in lines)

    def given_up(self) -> list[Path]:
        """Messages that the server has put aside, after it had tried three times to deal with them."""
        return sorted((self.home.prefect / "dlq").glob("*"))

    def stages(self, run: UUID) -> dict[str, StateType]:
        """The state of each stage of a run."""
        with self.client() as client:
            found = client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run])))
        return {stage.name.rpartition("-")[0]: stage.state.type for stage in found if stage.state is not None}

    def span(self, name: str) -> tuple[datetime, datetime]:
        """When the newest run of a configuration began and ended, as the catalogue has it."""
        with open_application(self.home) as application:
            row = application.manager.backup_service.catalogue.history.runs(name)[0]
        assert row.ended_at is not None
        return row.started_at, row.ended_at

    def check(self, restic: Any, dav: WebDAVServer, config: BackupConfig) -> None:
        """Have restic read all of a configuration's repository."""
        key = (self.home.root / "keys" / f"{config.name}.key").read_text().strip()
        restic.check(dav.root / config.target_path.strip("/"), password=key)

    def slots(self, config: BackupConfig) -> int:
        """Writers of a configuration's repository, as the server has it."""
        with self.client() as client:
            return client.read_global_concurrency_limit_by_name(writer_limit(config)).active_slots

    def successor(self, run: UUID) -> FlowRun | None:
        """The run in which the work of another one goes on."""
        with self.client() as client:
            found = [r for r in client.read_flow_runs(limit=200) if (r.idempotency_key or "").endswith(str(run))]
        return found[0] if found else None

    def calls(self) -> tuple[list[str], set[str]]:
        """The command lines of all Python processes there were, and the hosts that any of them called or asked for."""
        lines = [line.split("\x1f") for line in (self.place / "calls").read_text().splitlines()]
        return [" ".join(line[2:]) for line in lines if line[0] == "process"], {x[3] for x in lines if x[0] == "call"}


def kill(pid: int) -> None:
    """As a power cut would."""
    os.kill(pid, signal.SIGKILL)


def locks(dav: WebDAVServer, path: str = "backups") -> list[Path]:
    """The lock files of a repository."""
    return [p for p in (dav.root / path.strip("/") / "locks").rglob("*") if p.is_file()]
