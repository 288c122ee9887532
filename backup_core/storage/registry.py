"""From an address to a backend: the URL's scheme picks it."""

from __future__ import annotations

import threading
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from backup_core.clock import Clock, SystemClock
from backup_core.errors import ConfigError
from backup_core.progress import CancelToken
from backup_core.storage.account import AccountUse
from backup_core.storage.backend import Backend
from backup_core.storage.local import LocalBackend
from backup_core.storage.memory import MemoryBackend
from backup_core.storage.options import BackendOptions
from backup_core.storage.retry import OnWait, Random, evenly, silently
from backup_core.storage.schemes import FSSPEC_SCHEMES
from backup_core.types import Secret

WEBDAV_SCHEMES = frozenset({"http", "https", "dav", "davs", "webdav", "webdavs"})

_memories: dict[str, MemoryBackend] = {}
_memories_lock = threading.Lock()


def open_backend(
    url: str,
    *,
    username: str = "",
    password: Secret | None = None,
    options: BackendOptions | None = None,
    clock: Clock | None = None,
    random: Random = evenly,
    cancel: CancelToken | None = None,
    on_wait: OnWait = silently,
    account: AccountUse | None = None,
) -> Backend:
    """The backend for ``url``; nothing is sent yet.

    ``/path`` and ``file:///path`` are local directories, ``memory://name`` a store that lives as long as this process
    (the same name is the same store), ``https://`` (also ``dav(s)://``, ``webdav(s)://``) a WebDAV folder, ``s3://``
    and others whatever fsspec makes of them. ``random`` spreads waits, ``cancel`` ends them, ``on_wait`` is told.
    ``account`` is what a WebDAV backend shares with others who use the same account.

    Raises ``ConfigError`` for an address or options that cannot be used.
    """
    scheme = scheme_of(url)
    if scheme == "file":
        return LocalBackend(_local_path(url))
    if scheme == "memory":
        return _memory(url)
    if scheme in WEBDAV_SCHEMES:
        from backup_core.storage.webdav.backend import WebDAVBackend  # keeps httpx out of local runs

        return WebDAVBackend(
            url,
            username=username,
            password=password,
            options=options or BackendOptions(),
            clock=clock or SystemClock(),
            random=random,
            cancel=cancel,
            on_wait=on_wait,
            account=account,
        )
    if scheme not in FSSPEC_SCHEMES:
        raise ConfigError(f"nothing here can store to {scheme}:// addresses; use a path, https:// or s3://")
    from backup_core.storage.fsspec import open_fsspec  # keeps fsspec out of all other runs

    return open_fsspec(
        url,
        username=username,
        password=password,
        options=options or BackendOptions(),
        clock=clock or SystemClock(),
        random=random,
        cancel=cancel,
        on_wait=on_wait,
    )


def join_url(url: str, path: str) -> str:
    """The address of ``path`` (plain text, not percent-encoded) below ``url``; both kinds of slash ends are fine.

    Raises ``ConfigError`` for a path that would lead out of ``url``.
    """
    parts = [part for part in path.split("/") if part]
    if any(part in (".", "..") for part in parts):
        raise ConfigError(f"the target path {path!r} must not contain '.' or '..'")
    if scheme_of(url) in WEBDAV_SCHEMES or url.strip().lower().startswith("file://"):
        # What reads these addresses decodes them; a plain path and a key in an object store are taken as they are.
        parts = [quote(part, safe="") for part in parts]
    return "/".join([url.rstrip("/"), *parts]) if parts else url


def scheme_of(url: str) -> str:
    """The scheme in lower case; "file" for a plain path. Raises ``ConfigError`` for an empty address."""
    if not url.strip():
        raise ConfigError("the storage address is empty")
    scheme, mark, _ = url.strip().partition("://")
    return scheme.lower() if mark else "file"


def _local_path(url: str) -> Path:
    if "://" not in url:
        return Path(url).expanduser()
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost"):
        raise ConfigError(f"{url!r} names another machine; a local directory is written file:///path")
    return Path(unquote(parts.path))


def _memory(url: str) -> MemoryBackend:
    name = url.partition("://")[2].strip("/")
    with _memories_lock:
        return _memories.setdefault(name, MemoryBackend(name))
