"""The standard output of a command as a stream that tells a whole output from one that was cut.

Whoever reads to the end calls ``finish``, which raises unless the command ended by itself with exit code 0. So what a
command printed before it failed is never taken for its output.
"""

from __future__ import annotations

import os
import selectors
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import field
from types import TracebackType
from typing import IO, Self

from backup_core.clock import Clock
from backup_core.deferred import dataclass
from backup_core.engine.commands import GRACE_SECONDS, CommandLine, shown
from backup_core.errors import SourceError
from backup_core.progress import CancelToken

_LOOK = 0.1
"""Seconds between looks at the time and at whether to stop."""
_ERROR_TEXT = 4096
"""Bytes of what a command says on stderr that are kept: the last ones."""
_TOLD = 600
"""Characters of them that go into a message."""


@dataclass(frozen=True, slots=True)
class CommandSource:
    """A command whose standard output is a file of the backup."""

    name: str
    """The file's path in the backup, from its root: ``shop.sql`` or ``dumps/shop.sql``."""
    command: CommandLine
    """Words are started as they are. One line of text goes to a shell, in which a pipe fails when any part of it
    does, provided that there is a ``bash``."""
    timeout: float | None = None
    """Seconds after which the command is stopped and counts as failed."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """All that the command gets to see."""
    without_secrets: Callable[[str], str] = str
    """Makes of what the command says what others may read."""

    @property
    def path(self) -> bytes:
        """Where it stands in the snapshot."""
        return b"/" + os.fsencode(self.name)

    @property
    def words(self) -> list[str]:
        """What is started."""
        if not isinstance(self.command, str):
            return list(self.command)
        bash = shutil.which("bash", path=self.environment.get("PATH", os.defpath))
        return [bash, "-o", "pipefail", "-c", self.command] if bash else ["/bin/sh", "-c", self.command]


class CommandStream:
    """A running command. A context manager: leaving it ends the command with all its children, if it still runs."""

    def __init__(self, source: CommandSource, *, clock: Clock, cancel: CancelToken) -> None:
        """Start the command. Raises ``SourceError`` when that is not possible."""
        self._source = source
        self._clock = clock
        self._cancel = cancel
        self._said = bytearray()
        try:
            self._process = subprocess.Popen(
                source.words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=dict(source.environment),
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
            raise self._failure(f"could not be started: {reason}") from error
        self._deadline = None if source.timeout is None else clock.monotonic() + source.timeout
        self._selector = selectors.DefaultSelector()
        self._streams = [stream for stream in (self._process.stdout, self._process.stderr) if stream is not None]
        for stream in self._streams:
            os.set_blocking(stream.fileno(), False)
            self._selector.register(stream, selectors.EVENT_READ)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._selector.close()
        for stream in self._streams:
            stream.close()
        # After a failure also when the first of them has ended: it may be another that did not come to an end.
        if self._process.poll() is None or error is not None:
            self._end_group()

    def read_into(self, buffer: memoryview) -> int:
        """Bytes put at the start of ``buffer``; 0 when the output has ended.

        Raises ``SourceError`` when the time is up, ``Cancelled``.
        """
        output = self._process.stdout
        while output is not None:
            self._look()
            ready = {key.fileobj for key, _ in self._selector.select(_LOOK)}
            if self._process.stderr in ready:
                self._listen()
            if output in ready:
                with suppress(BlockingIOError):
                    return os.readv(output.fileno(), [buffer])
        return 0

    def finish(self) -> None:
        """Wait for the end of a command whose output was read to its end.

        Raises ``SourceError`` unless it ended well, ``Cancelled``.
        """
        self._forget(self._process.stdout)
        while self._process.poll() is None:
            self._look()
            if self._selector.get_map():
                if self._selector.select(_LOOK):
                    self._listen()
            else:
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(_LOOK)
        while self._selector.select(0) and self._listen():
            continue
        code = self._process.returncode
        if code:
            raise self._failure(f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}")

    def _look(self) -> None:
        self._cancel.check()
        if self._deadline is not None and self._clock.monotonic() >= self._deadline:
            raise self._failure(f"did not end within {self._source.timeout:g} seconds and was stopped")

    def _listen(self) -> int:
        """Take what the command says on stderr; how many bytes that were."""
        stream = self._process.stderr
        if stream is None:
            return 0
        try:
            data = os.read(stream.fileno(), 65536)
        except BlockingIOError:
            return 0
        if not data:
            self._forget(stream)
        self._said += data
        del self._said[:-_ERROR_TEXT]
        return len(data)

    def _forget(self, stream: IO[bytes] | None) -> None:
        if stream is not None and stream.fileno() in self._selector.get_map():
            self._selector.unregister(stream)

    def _failure(self, what: str) -> SourceError:
        said = self._said.decode("utf-8", "replace").strip()[-_TOLD:]
        because = f". It said: {said}" if said else ""
        message = (
            f"the command for {self._source.name!r} ({shown(self._source.command)}) {what}{because}. "
            "What it had printed was not taken for a backup"
        )
        return SourceError(self._source.without_secrets(message), path=self._source.name)

    def _end_group(self) -> None:
        self._signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(GRACE_SECONDS)
        self._signal(signal.SIGKILL)
        self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)
