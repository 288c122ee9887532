"""One file of a backup, written to a stream: each piece verified before it is given on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from backup_core.deferred import dataclass
from backup_core.errors import ConfigError
from backup_core.progress import CancelToken, ProgressSink, ProgressTracker, no_progress

if TYPE_CHECKING:
    from backup_core.services.recovery_service import RecoveryService


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """A file that was written out."""

    backup_id: str
    path: str
    size: int
    """Bytes."""


class SingleFiles:
    """Writes single files out."""

    def __init__(self, recovery: RecoveryService) -> None:
        self._recovery = recovery

    def write_out(
        self,
        path: str,
        write: Callable[[bytes], object],
        *,
        config_name: str | None = None,
        backup_id: str | None = None,
        at: datetime | None = None,
        cancel: CancelToken | None = None,
        progress: ProgressSink = no_progress,
    ) -> WrittenFile:
        """Hand the content of a file to ``write``, piece by piece.

        ``path`` is the one it had when it was backed up, or one below any source. What ``write`` raises ends it. When
        something is damaged, ``Corrupt`` is raised after everything before it was written, and nothing wrong ever is.
        Raises ``ConfigError`` when there is no such backup, or no such file in it.
        """
        from backup_core.engine.file_reader import BlobMemory, FileReader
        from backup_core.engine.single_file import find_entry

        service = self._recovery.backup_service
        cancel = cancel or CancelToken()
        tracker = ProgressTracker(progress, clock=service.clock)
        backup = self._recovery.chosen(config_name, backup_id, at)
        opener = service.known.configuration_of(backup)
        with self._recovery.fallback.reached(opener, backup, tracker=tracker, cancel=cancel) as reached:
            reached.repository.load_index(cancel=cancel, problems=[], allow_unproved=True)
            node = find_entry(reached.copies, reached.snapshot, path)
            if node.type != "file":
                raise ConfigError(f"{path!r} is no file in the backup but a {node.type}; only files can be written out")
            reader = FileReader(reached.copies, node, BlobMemory())
            tracker.phase("restore", files_total=1, bytes_total=reader.size)
            for chunk in reader.chunks():
                cancel.check()
                write(chunk)
                tracker.advance(bytes_=len(chunk), path=path)
        return WrittenFile(backup.backup_id, path, reader.size)
