"""How a repository is used on this machine: sizes, compression, where the local cache lies."""

from __future__ import annotations

import getpass
import platform
from dataclasses import field
from pathlib import Path

from backup_core.deferred import dataclass


def default_hostname() -> str:
    """This machine's name, as locks and snapshots carry it."""
    return platform.node() or "localhost"


def default_username() -> str:
    """The account's name, "" when the system does not know one (a bare container)."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""


@dataclass(frozen=True, slots=True)
class RepositoryOptions:
    """Choices that change nothing about what a repository means, only about how it is used."""

    pack_size: int | None = None
    """Bytes at which a pack is closed; None takes what the backend prefers."""
    compression_level: int | None = 3
    """zstd level of new data blobs (1-19); None stores them uncompressed. Trees are always compressed."""
    cache_directory: Path | None = None
    """Where every repository keeps a sub-directory of disposable copies; None uses a temporary one."""
    upload_threads: int | None = None
    """Packs uploaded at the same time; None takes what the backend allows."""
    keep_packs: bool = False
    """Keep a copy of each stored pack in the cache until it has parity."""
    hostname: str = field(default_factory=default_hostname)
    """Named in locks."""
    username: str = field(default_factory=default_username)
    """Named in locks."""
