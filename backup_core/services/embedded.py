"""The embedded WebDAV server: WsgiDAV on loopback, for people who have no account yet and for tests.

``python -m backup_core.services.embedded STATE.json`` serves until it gets SIGTERM. ``STATE.json`` (readable by its
owner only, because it holds the password) says what to serve: ``root``, ``username``, ``password`` and ``port``, which
may be 0 for any free one. Once requests are answered, the server's root URL is printed on standard output.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType
from typing import Any

from cheroot import wsgi
from wsgidav.fs_dav_provider import FilesystemProvider
from wsgidav.wsgidav_app import WsgiDAVApp

from backup_core.types import Secret

WSGIApplication = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
"""A WSGI application, PEP 3333."""

REALM_USERS = "*"
"""WsgiDAV's word for "every share"."""


def make_application(root: Path, *, username: str, password: Secret, read_only: bool = False) -> WSGIApplication:
    """A WebDAV application that serves the folder ``root`` to one user with basic authentication."""
    options = {
        "provider_mapping": {
            "/": FilesystemProvider(str(root), readonly=read_only, fs_opts={"follow_symlinks": False})
        },
        "http_authenticator": {"accept_basic": True, "accept_digest": False, "default_to_digest": False},
        "simple_dc": {"user_mapping": {REALM_USERS: {username: {"password": password.reveal()}}}},
        "dir_browser": {"enable": False},
        "logging": {"enable": False},
        "verbose": 0,
        "lock_storage": True,
        "property_manager": False,
        "suppress_version_info": True,
    }
    application: WSGIApplication = WsgiDAVApp(options)
    return application


def make_server(
    application: WSGIApplication, *, host: str = "127.0.0.1", port: int = 0, threads: int = 8
) -> wsgi.Server:
    """A server: call ``prepare()`` to bind and ``serve()`` to answer; ``bind_addr`` then tells the port."""
    return wsgi.Server((host, port), application, numthreads=threads, request_queue_size=64)


def main(arguments: list[str]) -> int:
    """Serve what the state file says until SIGTERM or SIGINT; returns the exit code."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m backup_core.services.embedded STATE.json\n")
        return 2
    state = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    root = Path(state["root"])
    root.mkdir(parents=True, exist_ok=True)
    application = make_application(root, username=state["username"], password=Secret(state["password"]))
    server = make_server(application, port=int(state.get("port", 0)))

    def stop(_signal: int, _frame: FrameType | None) -> None:
        # serve() notices at its next turn; stopping here would join the very thread that runs this.
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    server.prepare()
    host, port = server.bind_addr[:2]
    sys.stdout.write(f"http://{host}:{port}/\n")
    sys.stdout.flush()
    try:
        server.serve()
    except KeyboardInterrupt:
        server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
