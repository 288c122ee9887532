"""What a backup is asked to do."""

from __future__ import annotations

from typing import Literal

from backup_core.deferred import dataclass
from backup_core.engine.live.command_stream import CommandSource
from backup_core.engine.worker_pool import StartChoice


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupOptions:
    """Choices for one run."""

    sources: tuple[str, ...]
    """Directories and files. Relative ones count from the working directory, ``~`` is the user's home."""
    kind: Literal["full", "incremental"]
    """Full: read every byte again and trust only packs that are on the server. Incremental: open changed files only."""
    include: tuple[str, ...] = ()
    """Patterns, see ``filters``."""
    exclude: tuple[str, ...] = ()
    exclude_caches: bool = True
    """Leave out what lies in directories with a ``CACHEDIR.TAG``."""
    exclude_if_present: tuple[str, ...] = (".nobackup",)
    """Leave out what lies in directories that hold an entry of one of these names (the entry itself is kept)."""
    max_file_size: int | None = None
    """Bytes; longer files are left out."""
    one_file_system: bool = False
    """Do not go into file systems mounted below a source."""
    case_insensitive: bool = False
    """Whether patterns ignore case."""
    commands: tuple[CommandSource, ...] = ()
    """Commands whose output becomes a file of the backup. They run before anything else is read, and the backup fails
    with the first one that does not end well."""
    sqlite: bool = True
    """Store a consistent copy of SQLite databases instead of what their files hold while they are read."""
    compression: bool = True
    hostname: str
    username: str
    tags: tuple[str, ...] = ()
    """Added to the snapshot's own; ``config:NAME`` also says which backups to compare with."""
    backup_id: str
    dry_run: bool = False
    """Only say what would be done: takes no lock, reads no content, writes nothing."""
    workers: int | None = None
    """How many; None for one a processor, at most eight."""
    start_method: StartChoice = "auto"
