"""What a person may do to a run, and what may befall it, with a real server, real workers and a real WebDAV server.

One of these in ``make test``; ``DAVAULT_ROOM=1`` for all, which takes ten minutes, most of them waiting.
"""

from __future__ import annotations

import ipaddress
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect.client.schemas.objects import StateType
from prefect.states import Cancelling

from backup_core.clock import SystemClock
from backup_core.config.models import BackupConfig
from backup_core.testing.webdav_server import Request, WebDAVServer
from deployments.automations import Periods, register_automations, remove_automations
from deployments.unfinished import UNHEARD

from .room import ControlRoom, Gate, kill, locks

pytestmark = [pytest.mark.prefect, pytest.mark.slow]
long_form = pytest.mark.skipif("DAVAULT_ROOM" not in os.environ, reason="takes minutes: DAVAULT_ROOM=1")

FREE = 3
"""Packs that get through before a gate closes."""
IN_FLIGHT = 2
"""Packs on their way at the same time, which an interruption may cost."""
HEARTBEAT = 30
"""Seconds between two heartbeats of a run, in a room."""
PACKS = 11
"""Of 40 MB of noise, and one that holds the trees."""


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlRoom]:
    with ControlRoom(tmp_path_factory.mktemp("room")).open() as room:
        yield room
        assert room.given_up() == [], "whatever the server's database refused was tried again, and done"


@pytest.fixture
def gate(dav: WebDAVServer) -> Iterator[Gate]:
    gate = Gate(FREE)
    dav.fault = gate
    yield gate
    gate.opened.set()


@pytest.fixture
def worker(room: ControlRoom) -> Iterator[subprocess.Popen[bytes]]:
    """A worker without patience."""
    worker = room.start_worker("--patience", "1")
    yield worker
    room.stop_workers()


def gives_everything_back(room: ControlRoom, dav: WebDAVServer, config: BackupConfig) -> bool:
    """No lock on the server, no slot taken, and the catalogue knows how the newest run ended."""
    return (locks(dav, config.target_path), room.slots(config), room.outcomes(config.name)[0]) == ([], 0, "cancelled")


def assert_no_process_called_another_host(room: ControlRoom) -> None:
    """A server, a worker and a run were watched, and spoke to this machine only."""
    processes, hosts = room.calls()
    for wanted in ("flows._prefect_server", "deployments.worker", "prefect.engine"):
        assert any(wanted in process for process in processes), f"{wanted} was watched: {processes}"
    assert "127.0.0.1" in hosts, "calls are seen"
    named = hosts - {"localhost", "None"}
    assert {host for host in named if not ipaddress.ip_address(host).is_loopback} == set()


def test_a_worker_that_is_stopped_loses_no_run(
    room: ControlRoom, dav: WebDAVServer, gate: Gate, worker: subprocess.Popen[bytes], restic_old: Any
) -> None:
    config = room.configure("docs", dav)
    run = room.run("incremental-backup/docs")
    assert gate.arrived.wait(120)
    room.process(run)
    assert room.slots(config) == 1
    worker.send_signal(signal.SIGTERM)
    room.until(lambda: "stopping" in room.log(run), what="the run is being stopped")
    gate.opened.set()
    assert worker.wait(120) == 0
    stopped = room.read(run)
    assert (stopped.state.type, stopped.name[:17]) == (StateType.CANCELLED, "incremental docs ")
    assert gate.passed == FREE + IN_FLIGHT, "no pack was begun after that"
    assert gives_everything_back(room, dav, config)

    room.start_worker()
    successor = room.successor(run)
    assert successor is not None
    assert room.ended(successor.id).state.type is StateType.COMPLETED
    assert room.outcomes("docs") == ["completed", "cancelled"]
    assert gate.passed <= PACKS + IN_FLIGHT, "what was uploaded is not uploaded again"
    room.check(restic_old, dav, config)
    assert_no_process_called_another_host(room)


@long_form
def test_cancelled_by_a_person_with_and_without_a_worker(
    room: ControlRoom, dav: WebDAVServer, gate: Gate, worker: subprocess.Popen[bytes], restic_old: Any
) -> None:
    config = room.configure("photos", dav, path="/photos")
    run = room.run("full-backup/photos")
    assert gate.arrived.wait(120)
    gate.cancel(room, run)
    assert room.ended(run).state.type is StateType.CANCELLED
    assert gives_everything_back(room, dav, config)

    # Its worker dies. The run goes on; it notices itself that a person has cancelled it.
    gate.close()
    run = room.run("full-backup/photos")
    assert gate.arrived.wait(120)
    process = room.process(run)
    kill(worker.pid)
    worker.wait()
    room.start_worker()
    gate.cancel(room, run)
    assert room.ended(run).state.type is StateType.CANCELLED
    room.until(lambda: not Path(f"/proc/{process}").exists(), what="the process has ended")
    assert gives_everything_back(room, dav, config)

    # Its worker dies, and nobody cancels it: it comes to its own end.
    gate.close()
    run = room.run("full-backup/photos")
    assert gate.arrived.wait(120)
    room.process(run)
    kill(room.workers[-1].pid)
    room.workers[-1].wait()
    gate.opened.set()
    assert room.ended(run).state.type is StateType.COMPLETED
    assert gate.passed <= PACKS + 2 * IN_FLIGHT + 2
    room.check(restic_old, dav, config)


@long_form
@pytest.mark.timeout(1800)
def test_a_machine_that_loses_its_power(
    room: ControlRoom, dav: WebDAVServer, gate: Gate, worker: subprocess.Popen[bytes], restic_old: Any
) -> None:
    config = room.configure("music", dav, path="/music")

    def power_cut(run: UUID) -> None:
        assert gate.arrived.wait(120)
        process = room.process(run)
        kill(room.workers[-1].pid)
        kill(process)
        room.workers[-1].wait()
        gate.opened.set()

    # The worker comes back at once and sees what has happened.
    run = room.run("full-backup/music")
    power_cut(run)
    room.start_worker("--patience", "1")
    assert room.ended(run).state.type is StateType.CRASHED
    successor = room.until(lambda: room.successor(run), what="the work goes on")
    assert successor is not None
    # The dead one holds its slot for two minutes. Whoever waits for it can be cancelled.
    room.until(lambda: "Finished in state Completed" in room.log(successor.id), what="it is prepared, and waits")
    with room.client() as client:
        client.set_flow_run_state(successor.id, Cancelling())
    assert room.ended(successor.id).state.type is StateType.CANCELLED
    room.until(lambda: room.slots(config) == 0, what="the slot of the dead is free", seconds=240)

    # It does not come back for a while: the server notices that nothing is heard of the run.
    register_automations(None, [], periods=Periods(heartbeat=timedelta(seconds=HEARTBEAT + 15)))
    gate.close()
    run = room.run("full-backup/music")
    power_cut(run)
    found = room.ended(run)
    assert found.state.type is StateType.CRASHED and str(found.state.message).startswith(UNHEARD)
    remove_automations()
    room.start_worker()
    successor = room.until(lambda: room.successor(run), what="the work goes on")
    assert successor is not None
    assert room.ended(successor.id, seconds=500).state.type is StateType.COMPLETED
    assert gate.passed <= PACKS + 3 * IN_FLIGHT + 2
    room.check(restic_old, dav, config)


@long_form
def test_a_process_that_dies_goes_on(
    room: ControlRoom, dav: WebDAVServer, gate: Gate, worker: subprocess.Popen[bytes]
) -> None:
    room.configure("mail", dav, path="/mail")
    run = room.run("full-backup/mail")
    assert gate.arrived.wait(120)
    kill(room.process(run))
    gate.opened.set()
    assert room.ended(run).state.type is StateType.CRASHED
    successor = room.until(lambda: room.successor(run), what="the work goes on")
    assert room.stages(run) == {"prepare": StateType.COMPLETED, "store": StateType.CRASHED}
    assert successor is not None
    assert room.ended(successor.id, seconds=500).state.type is StateType.COMPLETED


@long_form
def test_a_server_that_is_restarted(
    room: ControlRoom, dav: WebDAVServer, gate: Gate, worker: subprocess.Popen[bytes], restic_old: Any
) -> None:
    """In mid-run: the run comes to its end, its slot stays taken until then, and is free afterwards."""
    config = room.configure("video", dav, path="/video")
    run = room.run("full-backup/video")
    assert gate.arrived.wait(120)
    room.process(run)
    room.restart_server()
    assert room.slots(config) == 1
    gate.opened.set()
    assert room.ended(run).state.type is StateType.COMPLETED
    room.until(lambda: room.slots(config) == 0, what="the slot is free")
    room.check(restic_old, dav, config)


@long_form
def test_one_writer_for_each_repository_and_one_budget_for_the_account(room: ControlRoom, dav: WebDAVServer) -> None:
    """Two workers; two configurations of one repository, and one of another."""
    window, allowed = 10.0, 40
    moments: list[float] = []
    writers: list[int] = []
    met: list[bool] = []
    sending = {"/shared/": threading.Event(), "/apart/": threading.Event()}
    clock = SystemClock()

    def note(request: Request) -> None:
        moments.append(clock.monotonic())
        if request.method == "PUT" and "/data/" in request.path:
            sending[next(place for place in sending if place in request.path)].set()
            met.append(all(other.wait(300) for other in sending.values()))

    dav.fault = note
    limits = {"window_requests": allowed, "window_seconds": window}
    one = room.configure("one", dav, path="/shared", megabytes=20, **limits)
    room.configure("two", dav, path="/shared", megabytes=24, **limits)
    room.configure("other", dav, path="/apart", megabytes=28, **limits)
    for name in ("first", "second"):
        room.start_worker("--name", name)
    runs = [room.run(f"full-backup/{name}") for name in ("one", "two", "other")]

    def all_ended() -> bool:
        writers.append(room.slots(one))
        states = [room.read(run).state for run in runs]
        return all(state is not None and state.is_final() for state in states)

    room.until(all_ended, what="all have ended", seconds=500)
    room.stop_workers()
    assert [room.read(run).state.type for run in runs] == [StateType.COMPLETED] * 3
    assert all(met), "repositories do not wait for each other"
    assert max(writers) == 1
    spans = sorted(room.span(name) for name in ("one", "two"))
    assert spans[0][1] <= spans[1][0], "the two of one repository came after each other"
    busiest = max(sum(start <= moment < start + window for moment in moments) for start in moments)
    assert busiest <= allowed
    assert len(moments) > allowed, "the budget was reached"
