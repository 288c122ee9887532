"""The embedded default: a WebDAV server and a Prefect server on this machine, as processes of their own.

Both keep what they have below one home. A server that an earlier run left running is found again and used.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import ProxyHandler, Request, build_opener

from backup_core.clock import Clock
from backup_core.config.home import Home
from backup_core.errors import ConfigError
from backup_core.services.private_files import write_private_file
from backup_core.types import Secret
from flows._own_clients import follow_server
from flows._processes import Processes, Program, Running, can_listen, free_port
from flows._settings import LOOPBACK, server_environment

USERNAME = "davault"
WEBDAV = "webdav-server"
PREFECT = "prefect-server"
_OPEN = build_opener(ProxyHandler({})).open


@dataclass(frozen=True, slots=True)
class Address:
    """Where the Prefect server answers, and to whom."""

    host: str = LOOPBACK
    port: int = 0
    """0 for the one it had last time, or any free one."""
    login: Secret | None = None
    """``user:password`` that it asks everybody for; None asks for nothing."""
    usual_port: int = 0
    """The one to begin with; 0 for any free one."""


class LocalServers:
    """Starts, finds and stops the servers of one home."""

    def __init__(self, home: Home, clock: Clock, *, address: Address | None = None) -> None:
        self._home = home
        self._address = address or Address()
        self._processes = Processes(home, clock)
        self._webdav_file = self._processes.records / "webdav-state.json"

    def start(self) -> tuple[Running, Running]:
        """Have both servers answer: (WebDAV, Prefect). Raises ``BackupExecutionError`` when one does not."""
        return self.start_webdav(), self.start_prefect()

    def start_webdav(self) -> Running:
        """Have the WebDAV server answer, and the home's clients find it. Raises ``BackupExecutionError`` when it does
        not."""
        found = self._processes.find(WEBDAV, self._webdav_answers)
        if found is None:
            found = self._start(self._webdav())
            follow_server(self._home, found.url, username=USERNAME, password=self.webdav_password)
        return found

    def start_prefect(self) -> Running:
        """Have the Prefect server answer. Raises ``BackupExecutionError`` when it does not, and ``ConfigError`` when
        its port is taken, or when it runs at another address already."""
        found = self._processes.find(PREFECT, _prefect_answers)
        if found is None:
            return self._start(self._prefect())
        if self._address.port and not found.url.endswith(f":{self._address.port}"):
            raise ConfigError(f"the Prefect server of this home runs at {found.url} already; stop it first")
        return found

    def stop(self) -> list[str]:
        """End those that run; their names."""
        stopped = [name for name in (PREFECT, WEBDAV) if self._processes.stop(name)]
        return [name.removesuffix("-server") for name in stopped]

    @property
    def webdav_was_used(self) -> bool:
        """Whether this home has ever had a WebDAV server of its own, which its configurations may need."""
        return self._webdav_file.exists()

    @property
    def webdav_password(self) -> Secret:
        """The embedded WebDAV server's password, made at first use and kept in a file of the home."""
        state = self._webdav_state()
        return Secret(str(state["password"]))

    @property
    def served(self) -> Path:
        """The folder that the WebDAV server serves."""
        return self._home.webdav

    def environment(self, url: str) -> dict[str, str]:
        """What the Prefect server at ``url`` needs to know, and every program that works with it."""
        made = server_environment(self._home.prefect, url, base=os.environ)
        if self._address.login is not None:
            # The server's half, and that of its clients.
            for name in ("PREFECT_SERVER_API_AUTH_STRING", "PREFECT_API_AUTH_STRING"):
                made[name] = self._address.login.reveal()
        return made

    # ---- the two programs

    def _start(self, program: Program) -> Running:
        # One that lives and does not answer would keep its port from the new one.
        self._processes.stop(program.name)
        server = self._processes.spawn(program)
        self._keep_port(program.name, server)
        self._processes.wait_for(program, server)
        return server

    def _webdav(self) -> Program:
        port = free_port(LOOPBACK, self._last_port(WEBDAV))
        self._webdav_state(port=port)
        command = (sys.executable, "-m", "backup_core.services.embedded", str(self._webdav_file))
        return Program(WEBDAV, command, os.environ, f"http://{LOOPBACK}:{port}", self._webdav_answers)

    def _webdav_answers(self, server: Running) -> bool:
        account = base64.b64encode(f"{USERNAME}:{self.webdav_password.reveal()}".encode()).decode()
        headers = {"Authorization": f"Basic {account}"}
        return answers(Request(server.url + "/", method="OPTIONS", headers=headers))  # noqa: S310

    def _webdav_state(self, *, port: int | None = None) -> Mapping[str, object]:
        path = self._webdav_file
        state: dict[str, object] = json.loads(path.read_text()) if path.exists() else {}
        wanted = {"root": str(self.served), "username": USERNAME, "password": secrets.token_urlsafe(24)} | state
        if port is not None:
            wanted["port"] = port
        if wanted != state:
            write_private_file(path, json.dumps(wanted))
        return wanted

    def _prefect(self) -> Program:
        home, host = self._home.prefect, self._address.host
        home.mkdir(mode=0o700, exist_ok=True)
        port = self._address.port
        if port and not can_listen(host, port):
            raise ConfigError(f"port {port} of {host} is taken by another program; choose another one with --port")
        port = port or free_port(host, self._last_port(PREFECT) or self._address.usual_port)
        # Who listens on every address is found on loopback, too.
        known_as = LOOPBACK if host in ("0.0.0.0", "::") else host  # noqa: S104
        url = f"http://{f'[{known_as}]' if ':' in known_as else known_as}:{port}"
        options = ("--host", host, "--port", str(port), "--analytics-off")
        command = (sys.executable, "-m", "flows._prefect_server", *options)
        return Program(PREFECT, command, self.environment(url), url, _prefect_answers)

    # ---- addresses that stay the same

    def _keep_port(self, name: str, server: Running) -> None:
        write_private_file(self._processes.records / f"{name}.port", server.url.rpartition(":")[2])

    def _last_port(self, name: str) -> int:
        with suppress(OSError, ValueError):
            return int((self._processes.records / f"{name}.port").read_text())
        return 0


def answers(question: Request) -> bool:
    """Whether a server answers with success."""
    try:
        with _OPEN(question, timeout=5) as answer:
            return bool(200 <= answer.status < 300)
    except (URLError, OSError):
        return False


def _prefect_answers(server: Running) -> bool:
    return answers(Request(f"{server.url}/api/health"))  # noqa: S310
