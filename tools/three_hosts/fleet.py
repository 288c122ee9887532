"""What runs on the machines: PostgreSQL, Prefect behind TLS, a WebDAV server, workers - set up as a user would."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tools.three_hosts.network import Machine, Network, wait_for

HOSTS = ("web-1", "db-1")
PROJECT = Path(__file__).resolve().parents[2]
DAVAULT = str(Path(sys.executable).with_name("davault"))
USER = "fleet"
SLOW_LINE = ("--limit-upload", "400K", "--pack-size", "4M", "--parallel-requests", "1")
"""Bytes a second, so that a backup lasts long enough to be disturbed; and packs one after the other."""
WINDOW_REQUESTS, WINDOW_SECONDS = 30, 30
TLS_PORT = 4443

NGINX = """
daemon off;
user root;
pid {top}/nginx.pid;
error_log {top}/nginx-error.log;
events {{}}
http {{
  access_log {top}/nginx-access.log;
  client_body_temp_path {top}/nginx-body;
  proxy_temp_path {top}/nginx-proxy;
  fastcgi_temp_path {top}/nginx-fastcgi;
  uwsgi_temp_path {top}/nginx-uwsgi;
  scgi_temp_path {top}/nginx-scgi;
  map $http_upgrade $connection_upgrade {{ default upgrade; '' close; }}
  server {{
    listen {address}:{port} ssl;
    ssl_certificate {top}/tls.crt;
    ssl_certificate_key {top}/tls.key;
    ssl_protocols TLSv1.2 TLSv1.3;
    client_max_body_size 16m;
    location / {{
      proxy_pass http://127.0.0.1:4200;
      proxy_http_version 1.1;
      proxy_set_header Host $host;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
      proxy_read_timeout 3600s;
    }}
  }}
}}
"""


class FleetOfThree:
    """The machines ``control``, ``web-1``, ``db-1`` and ``dav``."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.password = secrets.token_urlsafe(18)
        names = ("control", *HOSTS, "dav")
        self.machines = {name: Machine(name, number, top / name) for number, name in enumerate(names, start=1)}
        self.network = Network(list(self.machines.values()))
        self.control = self.machines["control"]
        self.dav = self.machines["dav"]
        for machine in self.machines.values():
            machine.top.mkdir()
            machine.environment = self._environment(machine)

    @property
    def api(self) -> str:
        """As workers reach it."""
        return f"https://{self.control.address}:{TLS_PORT}/api"

    def _environment(self, machine: Machine) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "DAVAULT_", "PYTHONDONT"))}
        return kept | {
            "PYTHONPATH": str(PROJECT),
            "DAVAULT_HOME": str(machine.top / "home"),
            "DAVAULT_CATALOGUE": f"file:{self.top}/catalogue-url",
            "DAV_PASSWORD": self.password,
            "FLEET_KEY": f"key {self.password}",
            "PREFECT_HOME": str(machine.top / "prefect"),
            "PREFECT_API_URL": self.api,
            "PREFECT_API_SSL_CERT_FILE": str(self.control.top / "tls.crt") if hasattr(self, "control") else "",
            "PREFECT_API_AUTH_STRING": f"{USER}:{self.password}",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_SERVER_EPHEMERAL_ENABLED": "false",
            "PREFECT_LOGGING_EXTRA_LOGGERS": "backup_core",
            "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
            "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
            "PREFECT_SERVER_UI_V2_ENABLED": "false",
            "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(machine.top / "prefect" / "ui"),
            "DO_NOT_TRACK": "1",
            "NO_PROXY": "*",
            "no_proxy": "*",
        }

    # ---- programs

    def start_postgresql(self) -> None:
        """One server with the databases of Prefect and of the catalogue."""
        place = Path(_as_postgres("mktemp", "-d", "-t", "davault-fleet-XXXXXX"))
        self.postgresql = place
        (place / "pw").write_text(self.password)
        shutil.chown(place / "pw", "postgres")
        _as_postgres(
            "initdb", "-D", f"{place}/data", "-U", USER, "-A", "scram-sha-256", f"--pwfile={place}/pw", "-E", "UTF8"
        )
        with (place / "data" / "pg_hba.conf").open("a") as access:
            access.write(f"host all {USER} {self.control.address}/24 scram-sha-256\n")
        address = self.control.address
        options = f"-c listen_addresses={address} -c unix_socket_directories={place} -c max_connections=200"
        self.control.run(
            "runuser", "-u", "postgres", "--", "pg_ctl", "-D", f"{place}/data", "-l", f"{place}/log", "-w",
            "-o", options, "start",
        )  # fmt: skip
        for statement in ("create database prefect", "create database davault"):
            self.sql("postgres", statement)
        self.sql("prefect", "create extension pg_trgm")
        url = self.top / "catalogue-url"
        url.touch(mode=0o600)
        url.write_text(f"postgresql://{USER}:{self.password}@{address}/davault?connect_timeout=10\n")

    def stop_postgresql(self) -> None:
        """Ends with the network."""
        if hasattr(self, "postgresql"):
            _as_postgres("pg_ctl", "-D", f"{self.postgresql}/data", "-m", "immediate", "stop", check=False)
            shutil.rmtree(self.postgresql, ignore_errors=True)

    def sql(self, database: str, statement: str) -> str:
        """What a statement gives, in lines."""
        url = f"postgresql://{USER}@{self.control.address}/{database}"
        return self.control.run(
            "psql", "-XAtq", "-c", statement, url, environment={"PGPASSWORD": self.password}
        ).strip()

    def start_prefect(self) -> None:
        """The server on loopback with a password, and nginx with a certificate in front of it."""
        top = self.control.top
        if not (top / "tls.crt").exists():
            names = f"subjectAltName=IP:{self.control.address}"
            subprocess.run(
                ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=control",
                 "-addext", names, "-keyout", top / "tls.key", "-out", top / "tls.crt"],
                check=True, capture_output=True,
            )  # fmt: skip
            (top / "nginx.conf").write_text(NGINX.format(top=top, address=self.control.address, port=TLS_PORT))
            self.control.start("nginx", "nginx", "-c", str(top / "nginx.conf"))
        self.control.environment |= {
            "PREFECT_SERVER_DATABASE_CONNECTION_URL": "postgresql+asyncpg://"
            f"{USER}:{self.password}@{self.control.address}/prefect",
            "PREFECT_SERVER_API_AUTH_STRING": f"{USER}:{self.password}",
        }
        self.control.start(
            "server", sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", "4200"
        )
        wait_for("the Prefect server", lambda: self.status("/admin/version") == "200")

    def start_webdav(self) -> None:
        """Two addresses of one WebDAV server: two accounts as far as budgets go."""
        program, root = "tools.three_hosts.webdav", str(self.dav.top / "root")
        for port in (8080, 8081):
            self.dav.start(
                f"webdav-{port}", sys.executable, "-m", program, self.dav.address, str(port), root,
                str(self.dav.top / f"requests-{port}"),
            )  # fmt: skip
        for port in (8080, 8081):
            wait_for("the WebDAV server", lambda port=port: self._answers(f"http://{self.dav.address}:{port}/"))

    def start_worker(self, host: str, pool: str, *, limit: int = 2) -> None:
        """As the documentation says."""
        self.machines[host].start(
            "worker", sys.executable, "-m", "deployments.worker", "--pool", pool, "--name", host, "--limit", str(limit)
        )

    # ---- questions

    def status(self, path: str, *, password: bool = True) -> str:
        """The status with which the server answers, as seen through TLS by a machine of the fleet."""
        login = ["--user", f"{USER}:{self.password}"] if password else []
        return self.control.run(
            "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "5",
            "--cacert", str(self.control.top / "tls.crt"), *login, self.api + path, check=False,
        )  # fmt: skip

    def ask(self, path: str, question: dict[str, Any]) -> Any:
        """An answer of Prefect's API."""
        text = self.control.run(
            "curl", "-sf", "--cacert", str(self.control.top / "tls.crt"), "--user", f"{USER}:{self.password}",
            "-H", "Content-Type: application/json", "-d", json.dumps(question), self.api + path,
        )  # fmt: skip
        return json.loads(text)

    def run_of(self, name: str, **parameters: object) -> str:
        """Start a deployment (``flow/name``); the id of its run."""
        words = [word for key, value in parameters.items() for word in ("-p", f"{key}={json.dumps(value)}")]
        told = self.control.run(sys.executable, "-m", "prefect", "deployment", "run", name, *words)
        return next(line.split()[-1] for line in told.splitlines() if "UUID" in line)

    def state_of(self, run: str) -> dict[str, Any]:
        """``type``, ``name`` and ``message`` of a run's state."""
        (found,) = self.ask("/flow_runs/filter", {"flow_runs": {"id": {"any_": [run]}}})
        return dict(found["state"])

    def wait_for_end(self, run: str, *, most: float = 1200.0) -> dict[str, Any]:
        """The state in which a run ends."""
        ended = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
        wait_for(f"the end of run {run}", lambda: self.state_of(run)["type"] in ended, most=most, every=2)
        return self.state_of(run)

    def report(self) -> str:
        """The newest report of a fleet run."""
        found = self.ask("/artifacts/latest/filter", {"artifacts": {"key": {"any_": ["fleet-backup"]}}, "limit": 1})
        return str(found[0]["data"])

    def requests(self, port: int) -> list[tuple[float, str, str, str]]:
        """(seconds, address, method, path) of each request that the WebDAV server got."""
        lines = (self.dav.top / f"requests-{port}").read_text().splitlines()
        return [(float(t), who, method, path) for t, who, method, path in (line.split(" ", 3) for line in lines)]

    def davault(self, host: str, *words: str, check: bool = True) -> str:
        """The command line on one machine."""
        return self.machines[host].run(DAVAULT, *words, check=check)

    def _answers(self, url: str) -> bool:
        words = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--user", f"{USER}:{self.password}"]
        return self.control.run(*words, "-X", "OPTIONS", url, check=False) == "200"


def _as_postgres(*command: str, check: bool = True) -> str:
    words: Sequence[str] = ["runuser", "-u", "postgres", "--", *command]
    done = subprocess.run(words, check=False, capture_output=True, text=True, cwd="/")
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr}")
    return done.stdout.strip()
