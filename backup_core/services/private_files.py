"""Files that only their owner may read, and locks between processes."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from backup_core.errors import ConfigError, LockHeld


def write_private_file(path: Path, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all. ``ConfigError`` when that is not possible."""
    temporary = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from error


@contextmanager
def exclusive(path: Path, *, subject: str, wait: bool = False) -> Iterator[None]:
    """Hold ``path`` as a lock against other processes and threads of this machine while the block runs.

    Raises ``LockHeld`` naming the holder when it is taken and ``wait`` is not set. A process that dies gives its locks
    back; the file stays, because removing it would let two holders in.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(f"the lock {path} cannot be made: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            holder = os.pread(descriptor, 100, 0).decode("utf-8", "replace").strip() or "another process"
            raise LockHeld(f"{subject} (by {holder}); wait until it has ended", holder=holder) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()}".encode(), 0)
        yield
    finally:
        os.close(descriptor)
