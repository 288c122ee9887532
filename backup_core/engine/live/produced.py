"""Files of a backup that no disk holds: what commands print, stored as it comes."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence

from backup_core.clock import Clock
from backup_core.deferred import dataclass
from backup_core.engine.live.command_stream import CommandSource, CommandStream
from backup_core.engine.source import group_name, user_name
from backup_core.engine.source_content import ContentReader
from backup_core.format.chunker import Chunker
from backup_core.format.tree import Node, go_mode
from backup_core.progress import CancelToken
from backup_core.results import Problem
from backup_core.types import BlobId

_ID = 32


@dataclass(slots=True)
class Produced:
    """The output of a command, at its place in the snapshot. Without content until the command has run."""

    source: CommandSource
    size: int = 0
    content: tuple[BlobId, ...] | None = None
    time_ns: int = 0
    """When the command was started, nanoseconds since the epoch: the output shows no later state."""

    @property
    def path(self) -> bytes:
        """Where it stands in the snapshot."""
        return self.source.path


class Producer:
    """Runs commands one after the other and stores what they print, in bounded memory and without a copy on disk."""

    def __init__(
        self,
        chunker: Chunker,
        store: Callable[[memoryview], BlobId],
        *,
        clock: Clock,
        cancel: CancelToken,
        on_bytes: Callable[[int], None],
    ) -> None:
        """``store`` takes a chunk, only valid during the call; ``on_bytes`` is told how many bytes were dealt with."""
        self._reader = ContentReader(chunker, store)
        self._clock = clock
        self._cancel = cancel
        self._on_bytes = on_bytes

    def produce(self, files: Sequence[Produced]) -> list[Problem]:
        """Run the commands of all these files; what is odd about their output, though they ended well.

        Raises ``SourceError`` for the first command that does not end well, ``Cancelled``.
        """
        return [problem for file in files for problem in self._produce(file)]

    def _produce(self, file: Produced) -> list[Problem]:
        started = round(self._clock.now().timestamp() * 1_000_000) * 1000
        with CommandStream(file.source, clock=self._clock, cancel=self._cancel) as stream:

            def read(buffer: memoryview) -> int:
                count = stream.read_into(buffer)
                self._on_bytes(count)
                return count

            ids, size = self._reader.store_stream(read)
            stream.finish()
        file.size, file.content, file.time_ns = size, tuple(map(BlobId, ids)), started
        if size:
            return []
        name = file.source.name
        message = f"the command for {name!r} ended well, but printed nothing: an empty file was stored"
        return [Problem("empty-output", message, path="/" + name)]


def produced_node(file: Produced, name: bytes) -> Node:
    """The node of a command's output: a file of whoever runs the backup, for nobody else to read."""
    return _node(name, "file", stat.S_IFREG | 0o600, file.time_ns, size=file.size, content=file.content or ())


def made_up_directory(name: bytes, time_ns: int) -> Node:
    """The node, without its subtree, of a directory that only commands' outputs lie in."""
    return _node(name, "dir", stat.S_IFDIR | 0o700, time_ns, size=0, content=None)


def _node(name: bytes, kind: str, mode: int, time_ns: int, *, size: int, content: tuple[BlobId, ...] | None) -> Node:
    uid, gid = (os.getuid(), os.getgid()) if hasattr(os, "getuid") else (0, 0)
    return Node(
        name,
        kind,
        go_mode(mode),
        time_ns,
        time_ns,
        time_ns,
        uid,
        gid,
        user_name(uid),
        group_name(gid),
        size=size,
        links=1 if kind == "file" else 0,
        content=content,
    )
