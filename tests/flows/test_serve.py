"""``davault serve``: opened, used and closed as on a user's machine, and its parts on their own."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backup_core.clock import SystemClock
from backup_core.config.catalogue_place import CATALOGUE_VARIABLE
from backup_core.config.home import Home
from backup_core.config.models import BackupConfig, ClientConfig
from backup_core.services.application import open_application
from backup_core.services.private_files import exclusive
from backup_core.services.service_manager.pages import find_pages
from backup_core.testing.clocks import ManualClock
from backup_core.testing.trees import make_tree
from backup_core.types import Secret
from deployments.catalogue_watch import INTERVAL, CatalogueWatch
from deployments.readiness import ServiceManager
from deployments.serve import main
from flows._local_servers import USERNAME, LocalServers
from flows._processes import Processes

from . import prefect_database

PROJECT = Path(__file__).resolve().parents[2]
LONGEST = 240.0


def environment(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    return kept | {"DAVAULT_HOME": str(home)}


def add_configuration(home: Path, name: str) -> None:
    place = home.with_name(f"{home.name}-{name}")
    place.mkdir()
    with open_application(home) as application:
        application.add_client(ClientConfig(name=name, url=place.as_uri()))
        source = str(make_tree(place.with_name(f"source-{name}"), files=3))
        application.add_config(
            BackupConfig(name=name, source_paths=[source], target_client_id=name, target_path="/b", encrypt=False)
        )
        application.init_repository(name)


def ask(url: str, question: object = None) -> Any:
    data = None if question is None else json.dumps(question).encode()
    request = urllib.request.Request(url, data=data, headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def eventually(true: Callable[[], bool]) -> None:
    clock = SystemClock()
    end = clock.monotonic() + LONGEST
    while not true():
        assert clock.monotonic() < end
        clock.sleep(0.5)


@pytest.mark.prefect
@pytest.mark.slow
def test_the_control_room_takes_over_servers_runs_a_backup_and_closes(tmp_path: Path) -> None:
    home = Home.at(tmp_path / "home").create()
    add_configuration(home.root, "docs")
    prefect_database.begin_with(home.prefect / "prefect.db")
    left_running = LocalServers(home, SystemClock())
    moved = ClientConfig(name="moved", url="http://127.0.0.1:9/dav/", username=USERNAME)
    with open_application(home) as application:
        application.add_client(moved, password=left_running.webdav_password)
        application.add_client(moved.model_copy(update={"name": "stranger"}), password=Secret("another one"))
    command = [sys.executable, "-m", "deployments.serve", "--json"]
    try:
        webdav, prefect = left_running.start()
        with open_application(home) as application:
            assert application.get_client("moved").url == f"{webdav.url}/dav/"
            assert application.get_client("stranger").url == moved.url, "it is somebody else's"
        room = subprocess.Popen(
            command, cwd=PROJECT, env=environment(home.root), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        try:
            opened = json.loads(room.stdout.readline())
            assert opened["url"] == prefect.url
            assert {"incremental-backup/docs", "restore/docs", "storage-report/daily"} <= set(opened["deployments"])
            processes = Processes(home, SystemClock())
            names = ("prefect-server", "webdav-server", "worker")
            assert all(processes.known(name) for name in names)
            assert stat.S_IMODE((home.root / "servers" / "webdav-state.json").stat().st_mode) == 0o600
            assert find_pages(home).answers
            ended = run_of(f"{prefect.url}/api", "full-backup/docs")
            assert ended["state_type"] == "COMPLETED" and ended["name"].startswith("full docs "), ended
        finally:
            room.send_signal(signal.SIGTERM)
            _, said = room.communicate(timeout=LONGEST)
        assert room.returncode == 0, said
        assert said.endswith("stopped\n")
        assert not [name for name in names if processes.known(name)]
        assert left_running.stop() == []
    finally:
        left_running.stop()


def run_of(api: str, deployment: str) -> Any:
    """Start a run as the pages do, and wait for its end."""
    identity = ask(f"{api}/deployments/name/{deployment}")["id"]
    run = f"{api}/flow_runs/{ask(f'{api}/deployments/{identity}/create_flow_run', {})['id']}"
    eventually(lambda: ask(run)["state_type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED"))
    return ask(run)


def test_a_process_that_was_given_an_old_ones_number_is_no_program_of_ours(tmp_path: Path) -> None:
    home = Home.at(tmp_path / "home").create()
    processes = Processes(home, SystemClock())
    record = processes.records / "worker.json"
    record.write_text(json.dumps({"pid": os.getpid(), "url": "", "birth": "12"}))
    assert processes.known("worker") is None
    assert not processes.stop("worker"), "or this test would have ended here"
    assert not record.exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--host", "0.0.0.0"], "give a login with --login-from"),
        (["--host", "::"], "give a login with --login-from"),
        (["--host", "backup.example"], "give a login with --login-from"),
        (["--login-from", "env:PAGES"], "must look like user:password"),
        (["--login-from", "env:NOWHERE"], "NOWHERE"),
    ],
)
def test_nobody_else_may_come_in_without_a_login(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    monkeypatch.setenv("PAGES", "hunter2")
    monkeypatch.setenv("DAVAULT_HOME", str(tmp_path))
    assert main([*words, "--json"]) == 5
    out, err = capsys.readouterr()
    assert said in json.loads(out)["error"]["message"]
    assert "hunter2" not in out + err


def test_one_control_room_for_each_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DAVAULT_HOME", str(tmp_path))
    with exclusive(tmp_path / "locks" / "serve.lock", subject="held by this test"):
        assert main([]) == 8
    assert "is open already" in capsys.readouterr().err


def test_a_configuration_that_is_added_is_noticed_once(tmp_path: Path) -> None:
    home, clock = Home.at(tmp_path / "home").create(), ManualClock()
    watch = CatalogueWatch(home, clock)
    add_configuration(home.root, "docs")
    assert not watch.changed(), "it looks now and then"
    clock.advance(INTERVAL)
    assert watch.changed()
    clock.advance(INTERVAL)
    assert not watch.changed()
    watch.forget()
    clock.advance(INTERVAL)
    assert watch.changed(), "what could not be registered is tried again"


def test_a_configuration_that_another_machine_adds_to_a_shared_catalogue_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CATALOGUE_VARIABLE, f"sqlite:///{tmp_path}/shared.db")
    clock = ManualClock()
    watch = CatalogueWatch(Home.at(tmp_path / "home").create(), clock)
    add_configuration(tmp_path / "another", "docs")
    clock.advance(INTERVAL)
    assert watch.changed()
    clock.advance(INTERVAL)
    assert not watch.changed()


def test_systemd_is_told_and_children_do_not_speak_for_the_service(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        surroundings = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "A": "b"}
        manager = ServiceManager(surroundings)
        assert surroundings == {"A": "b"}
        manager.ready()
        manager.stopping()
        assert [systemd.recv(100), systemd.recv(100)] == [b"READY=1", b"STOPPING=1"]
    ServiceManager({}).ready()
