"""The control room of one machine in one command: Prefect server, worker, and a deployment for each configuration.

    python -m deployments.serve [--host HOST] [--port PORT] [--runs N] [--patience SECONDS] [--login-from REFERENCE]

Runs until Ctrl+C or SIGTERM. Then no new run begins, those at work end by themselves or are cancelled after the
patience, and everything stops; a second Ctrl+C ends the patience. Everything is kept below the home. This process
itself does without Prefect: what needs it are programs of their own, which are started again when they break.
"""

from __future__ import annotations

import argparse
import ipaddress
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from backup_core.cli.exits import ExitCode
from backup_core.cli.faults import fault_of
from backup_core.cli.logs import LogLevel, logging_to
from backup_core.cli.output import console, facts, prepare_streams, write_json
from backup_core.clock import SystemClock
from backup_core.config.home import HOME_VARIABLE, Home
from backup_core.config.secrets import resolve_secret
from backup_core.errors import BackupError, ConfigError
from backup_core.progress import CancelToken
from backup_core.services.private_files import exclusive
from deployments import POOL, worker_name
from deployments.control_room import ControlRoom, Options
from deployments.readiness import ServiceManager
from flows._local_servers import Address
from flows._settings import LOOPBACK

if TYPE_CHECKING:
    from rich.console import Console

PORT = 4200
"""Where Prefect's pages are by custom."""
RUNS = 4
"""At the same time: each takes about 100 MiB and a connection to a server."""
PATIENCE = 60.0
"""Seconds that runs get to end by themselves when everything is to stop."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; returns the exit code."""
    options = _parser().parse_args(arguments)
    prepare_streams()
    if options.home is not None:
        os.environ[HOME_VARIABLE] = str(options.home)
    try:
        with logging_to(lambda: console(sys.stderr), level=options.log_level, file=options.log_file):
            _serve(Home.from_environment().create(), options)
        return ExitCode.OK
    except (BackupError, KeyboardInterrupt) as error:
        fault = fault_of(error)
        if options.json:
            write_json(fault.document(), sys.stdout)
        fault.show(console(sys.stderr))
        return fault.exit_code


def _serve(home: Home, options: argparse.Namespace) -> None:
    signals = _Signals()
    manager = ServiceManager()
    out = console(sys.stderr if options.json else sys.stdout)
    clock = SystemClock()
    with exclusive(home.locks / "serve.lock", subject=f"the control room of {home.root} is open already"):
        room = ControlRoom(home, _options(options), clock, lambda line: out.print(f"• {line}", soft_wrap=True))
        try:
            room.open()
            signals.interrupt = False
            if options.json:
                # On one line: whoever reads it cannot wait for the end.
                sys.stdout.write(json.dumps(_document(home, room), ensure_ascii=False) + "\n")
                sys.stdout.flush()
            else:
                _show(out, home, room)
            manager.ready()
            room.watch(signals.stop)
        finally:
            signals.interrupt = False
            manager.stopping()
            out.print("• stopping: no new run begins; another Ctrl+C cancels the runs at work", soft_wrap=True)
            room.close(signals.hurry)
            out.print("stopped")


class _Signals:
    """Ctrl+C, SIGTERM and the end of the terminal: the first one stops, the second one hurries."""

    def __init__(self) -> None:
        self.stop = CancelToken()
        self.hurry = CancelToken()
        self.interrupt = True
        """Whether the first one raises ``KeyboardInterrupt``, as while things are still being started."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._take)

    def _take(self, number: int, _frame: FrameType | None) -> None:
        if self.stop.cancelled:
            self.hurry.cancel("somebody cannot wait")
        self.stop.cancel(signal.Signals(number).name)
        if self.interrupt:
            self.interrupt = False
            raise KeyboardInterrupt


def _options(options: argparse.Namespace) -> Options:
    login = None
    if options.login_from is not None:
        login = resolve_secret(options.login_from, what="the login of the pages")
        if ":" not in login.reveal():
            raise ConfigError(f"the login behind {options.login_from} must look like user:password")
    elif not _is_loopback(options.host):
        raise ConfigError(
            f"{options.host} can be reached by others, who could start restores and read secrets: give a login with "
            "--login-from, and put TLS in front (docs/control-room.md)"
        )
    return Options(Address(options.host, options.port, login, PORT), options.runs, options.patience)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _document(home: Home, room: ControlRoom) -> dict[str, object]:
    return {
        "url": room.url,
        "home": str(home.root),
        "pool": POOL,
        "worker": worker_name(),
        "deployments": room.deployments,
        "logs": str(home.logs),
    }


def _show(out: Console, home: Home, room: ControlRoom) -> None:
    out.print("\nThe control room is open; Ctrl+C closes it.")
    places = [
        ("runs", f"{room.url}/runs"),
        ("start a run", f"{room.url}/deployments"),
        ("storage report", f"{room.url}/artifacts/key/storage-trend"),
        ("logs", str(home.logs)),
    ]
    out.print(facts(places), soft_wrap=True)
    if not room.deployments:
        out.print("There are no configurations yet: davault config add makes one, and it appears here by itself.")
    out.print()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="davault serve", description="The control room of one machine.")
    parser.add_argument("--host", default=LOOPBACK, help="address to listen on")
    parser.add_argument("--port", type=int, default=0, help=f"default: the one of last time, or {PORT}")
    parser.add_argument("--runs", type=int, default=RUNS, help="at the same time")
    parser.add_argument("--patience", type=float, default=PATIENCE, metavar="SECONDS")
    parser.add_argument("--login-from", metavar="REFERENCE", help="user:password that the pages ask for")
    parser.add_argument("--home", type=Path)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--log-level", type=LogLevel, choices=list(LogLevel), default=LogLevel.WARNING)
    parser.add_argument("--log-file", type=Path)
    return parser


if __name__ == "__main__":
    sys.exit(main())
