"""A backup as a WebDAV server on this machine, which any file manager opens. Nothing in it can be written.

The server listens on loopback only. Other users of the machine are kept out by a random first folder of the address,
web pages by a check of the host name (a page may make a browser ask us under a name of its own choosing).
"""

from __future__ import annotations

import io
import logging
import mimetypes
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from wsgidav.dav_error import HTTP_FORBIDDEN, DAVError
from wsgidav.dav_provider import DAVCollection, DAVNonCollection, DAVProvider
from wsgidav.wsgidav_app import WsgiDAVApp

from backup_core.deferred import dataclass
from backup_core.engine.backup_view import BackupView, Entry
from backup_core.engine.file_reader import FileReader
from backup_core.errors import BackupError
from backup_core.progress import CancelToken, ProgressTracker, no_progress
from backup_core.services.embedded import WSGIApplication, make_server

if TYPE_CHECKING:
    from backup_core.services.recovery_service import RecoveryService

_LOG = logging.getLogger(__name__)
_READING = frozenset({"GET", "HEAD", "OPTIONS", "PROPFIND"})
_HOSTS = ("127.0.0.1", "localhost", "[::1]")
_BLOCK = 256 * 1024


@dataclass(frozen=True, slots=True)
class Browsing:
    """A server that is running."""

    url: str
    """With the random folder; ends with "/"."""
    backup_id: str


class Browser:
    """Serves backups."""

    def __init__(self, recovery: RecoveryService) -> None:
        self._recovery = recovery

    @contextmanager
    def serving(
        self,
        *,
        config_name: str | None = None,
        backup_id: str | None = None,
        port: int = 0,
        cancel: CancelToken | None = None,
    ) -> Iterator[Browsing]:
        """Serve a backup (or the newest of a configuration) on loopback while the block runs. ``port`` 0: any free one.

        The repository is locked against pruning meanwhile. Raises ``ConfigError``, what opening the repository raises,
        and ``OSError`` when the port is taken.
        """
        service = self._recovery.backup_service
        cancel = cancel or CancelToken()
        tracker = ProgressTracker(no_progress, clock=service.clock)
        backup = self._recovery.chosen(config_name, backup_id)
        opener = service.known.configuration_of(backup)
        with self._recovery.fallback.reached(opener, backup, tracker=tracker, cancel=cancel) as reached:
            reached.repository.load_index(cancel=cancel, problems=[], allow_unproved=True)
            token = service.random_bytes(16).hex()
            view = BackupView(reached.copies, reached.snapshot)
            server = make_server(application_for(view, token), port=port)
            server.shutdown_timeout = 1
            server.prepare()
            thread = threading.Thread(target=server.serve, name="davault-browse", daemon=True)
            thread.start()
            try:
                host, bound = server.bind_addr[:2]
                yield Browsing(f"http://{host}:{bound}/{token}/", backup.backup_id)
            finally:
                server.stop()
                thread.join()


def application_for(view: BackupView, token: str) -> WSGIApplication:
    """The WSGI application that serves a view below ``/token/``."""
    options = {
        "provider_mapping": {f"/{token}": _Provider(view)},
        "simple_dc": {"user_mapping": {"*": True}},
        "dir_browser": {"enable": False},
        "logging": {"enable": False},
        "verbose": 0,
        "lock_storage": False,
        "property_manager": False,
        "suppress_version_info": True,
        "block_size": _BLOCK,
    }
    return _Door(WsgiDAVApp(options), view, token)


class _Door:
    """Lets in who knows the address and only wants to read; shows folders to web browsers."""

    def __init__(self, inner: WSGIApplication, view: BackupView, token: str) -> None:
        self._inner = inner
        self._view = view
        self._prefix = f"/{token}"

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ.get("PATH_INFO", "")
        if environ.get("HTTP_HOST", "").rpartition(":")[0] not in _HOSTS:
            return _refuse(start_response, "403 Forbidden", "this server is for this machine only\n")
        if path != self._prefix and not path.startswith(self._prefix + "/"):
            return _refuse(start_response, "404 Not Found", "there is nothing here\n")
        if method not in _READING:
            return _refuse(start_response, "405 Method Not Allowed", "backups cannot be changed\n")
        if method == "GET":
            inside = path.encode("latin-1").decode("utf-8", "replace").removeprefix(self._prefix)
            page = self._page(inside)
            if page is not None:
                headers = [("Content-Type", "text/html; charset=utf-8"), ("Content-Length", str(len(page)))]
                start_response("200 OK", headers)
                return [page]
        return self._inner(environ, start_response)

    def _page(self, path: str) -> bytes | None:
        """A folder as a web page, None for anything else."""
        try:
            folder = self._view.find(path)
            if folder is None or not folder.is_directory:
                return None
            children = self._view.children(folder)
        except BackupError as error:
            _LOG.warning("%s cannot be shown: %s", path, error)
            return None
        base = self._prefix + path.rstrip("/")
        lines = [
            f'<li><a href="{quote(f"{base}/{child.name}")}{"/" if child.is_directory else ""}">{escape(child.name)}</a>'
            + ("/" if child.is_directory else f" <small>{child.size:,} bytes</small>")
            for child in children
        ]
        title = escape(path or "/")
        text = f"<!DOCTYPE html><meta charset=utf-8><title>{title}</title><h1>{title}</h1><ul>{''.join(lines)}</ul>"
        return text.encode("utf-8", "backslashreplace")


def _refuse(start_response: Callable[..., Any], status: str, text: str) -> Iterable[bytes]:
    body = text.encode()
    start_response(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


class _Provider(DAVProvider):  # type: ignore[misc]  # WsgiDAV carries no types
    """Resources of a view."""

    def __init__(self, view: BackupView) -> None:
        super().__init__()
        self._view = view

    def is_readonly(self) -> bool:
        """Always: a backup does not change."""
        return True

    def get_resource_inst(self, path: str, environ: dict[str, Any]) -> DAVCollection | DAVNonCollection | None:
        """What is at a path, None when nothing is."""
        try:
            entry = self._view.find(path)
        except BackupError as error:
            _LOG.warning("%s cannot be shown: %s", path, error)
            raise DAVError(HTTP_FORBIDDEN, str(error)) from error
        return None if entry is None else _resource(self._view, entry, path, environ)


def _resource(view: BackupView, entry: Entry, path: str, environ: dict[str, Any]) -> DAVCollection | DAVNonCollection:
    return (_Folder if entry.is_directory else _File)(view, entry, path, environ)


class _Folder(DAVCollection):  # type: ignore[misc]  # WsgiDAV carries no types
    """A folder."""

    def __init__(self, view: BackupView, entry: Entry, path: str, environ: dict[str, Any]) -> None:
        super().__init__(path, environ)
        self._view = view
        self._entry = entry
        self._children: dict[str, Entry] | None = None

    def _by_name(self) -> dict[str, Entry]:
        if self._children is None:
            try:
                self._children = {child.name: child for child in self._view.children(self._entry)}
            except BackupError as error:
                _LOG.warning("%s cannot be listed: %s", self.path, error)
                raise DAVError(HTTP_FORBIDDEN, str(error)) from error
        return self._children

    def get_member_names(self) -> list[str]:
        """Names of what is in it."""
        return list(self._by_name())

    def get_member(self, name: str) -> DAVCollection | DAVNonCollection | None:
        """What is in it under this name."""
        entry = self._by_name().get(name)
        path = f"{self.path.rstrip('/')}/{name}"
        return None if entry is None else _resource(self._view, entry, path, self.environ)

    def get_last_modified(self) -> float:
        """Seconds since the epoch."""
        return self._entry.modified

    def get_etag(self) -> None:
        """Folders have none."""
        return

    def support_etag(self) -> bool:
        """Folders have none."""
        return False


class _File(DAVNonCollection):  # type: ignore[misc]  # WsgiDAV carries no types
    """A file."""

    def __init__(self, view: BackupView, entry: Entry, path: str, environ: dict[str, Any]) -> None:
        super().__init__(path, environ)
        self._view = view
        self._entry = entry

    def get_content_length(self) -> int:
        """Bytes."""
        return self._entry.size

    def get_content_type(self) -> str:
        """By the name's ending."""
        return mimetypes.guess_type(self._entry.name)[0] or "application/octet-stream"

    def get_last_modified(self) -> float:
        """Seconds since the epoch."""
        return self._entry.modified

    def get_etag(self) -> str:
        """Changes with the content."""
        return self._entry.tag

    def support_etag(self) -> bool:
        """Content is named by its hashes."""
        return True

    def support_ranges(self) -> bool:
        """Only what is asked for is fetched."""
        return True

    def get_content(self) -> io.RawIOBase:
        """The content, fetched as it is read."""
        try:
            return _Stream(self._view.open(self._entry))
        except BackupError as error:
            _LOG.warning("%s cannot be read: %s", self.path, error)
            raise DAVError(HTTP_FORBIDDEN, str(error)) from error


class _Stream(io.RawIOBase):
    """A file's content as a stream that can be positioned."""

    def __init__(self, reader: FileReader) -> None:
        super().__init__()
        self._reader = reader
        self._position = 0

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place counted from the beginning, the only way in which a server asks."""
        if whence != io.SEEK_SET:
            raise io.UnsupportedOperation("only places counted from the beginning")
        self._position = offset
        return offset

    def read(self, size: int = -1) -> bytes:
        """The next bytes; b"" at the end. Raises ``BackupError``, at which the connection is cut: nothing wrong is
        ever given out as the file."""
        wanted = self._reader.size if size < 0 else size
        data = self._reader.read(self._position, wanted)
        self._position += len(data)
        return data
