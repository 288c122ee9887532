"""Running other people's commands: bounded in time and output, and never outliving a timeout or a wish to stop.

A command is either a list of words, started as it is, or one line of text, given to ``/bin/sh -c``. It runs in a
process group of its own with nothing on its standard input; stdout and stderr are read together. When its time is up,
or the caller wants to stop, the whole group gets SIGTERM and after a grace SIGKILL. A command that ends by itself may
leave children behind (``pg_ctl start`` does), which are left alone.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from backup_core.clock import Clock
from backup_core.deferred import dataclass
from backup_core.progress import CancelToken

HEAD_BYTES = 16 * 1024
TAIL_BYTES = 48 * 1024
"""Of the output only the first and the last bytes are kept: a command that prints for ever must not fill the memory."""
GRACE_SECONDS = 5.0
"""Between SIGTERM and SIGKILL."""
NOT_STARTED = 127
"""The exit code given to a command that could not be started, as a shell does."""
_LOOK = 0.05
_CHUNK = 65536

CommandLine = str | tuple[str, ...]
"""A line for ``/bin/sh -c``, or the words of a command that needs no shell."""


@dataclass(frozen=True, slots=True)
class CommandResult:
    """How a command ended."""

    exit_code: int
    """As ``subprocess`` gives it: negative is the signal that ended it."""
    output: str
    """stdout and stderr as they came; of much output the beginning and the end."""
    seconds: float
    timed_out: bool = False
    error: str = ""
    """Why it could not be started."""

    @property
    def succeeded(self) -> bool:
        """True when it ended by itself with exit code 0."""
        return not self.failure

    @property
    def failure(self) -> str:
        """What went wrong in a few words, "" when nothing did."""
        if self.error:
            return self.error
        if self.timed_out:
            return f"it did not end within {self.seconds:.0f} seconds and was stopped"
        if self.exit_code < 0:
            return f"it was ended by signal {-self.exit_code}"
        return f"it ended with exit code {self.exit_code}" if self.exit_code else ""

    @property
    def last_line(self) -> str:
        """The last line of the output that says anything, which mostly tells the reason of a failure."""
        return next((line.strip() for line in reversed(self.output.splitlines()) if line.strip()), "")


def shown(command: CommandLine) -> str:
    """A command for people."""
    import shlex

    return command if isinstance(command, str) else shlex.join(command)


def run_command(
    command: CommandLine | Sequence[str],
    *,
    clock: Clock,
    timeout: float | None = None,
    environment: Mapping[str, str] | None = None,
    inherit: bool = True,
    directory: str | Path | None = None,
    cancel: CancelToken | None = None,
    grace: float = GRACE_SECONDS,
) -> CommandResult:
    """Run a command to its end. ``environment`` is added to this process' own unless ``inherit`` is False;
    ``timeout`` is in seconds.

    What goes wrong with the command is in the result. Raises ``Cancelled`` after stopping it when ``cancel`` is set.
    """
    words = ["/bin/sh", "-c", command] if isinstance(command, str) else list(command)
    begun = clock.monotonic()
    try:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**(os.environ if inherit else {}), **(environment or {})},
            cwd=directory,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return CommandResult(NOT_STARTED, "", 0.0, error=f"it could not be started: {reason}")
    deadline = None if timeout is None else begun + timeout
    output = _Output()
    timed_out = False
    try:
        while not output.read(process):
            timed_out = deadline is not None and clock.monotonic() >= deadline
            if timed_out or (cancel is not None and cancel.cancelled):
                break
    finally:
        if process.poll() is None:
            _end(process, output, clock, grace)
        output.close(process)
    if cancel is not None and not timed_out:
        cancel.check()
    return CommandResult(process.returncode, output.text(), clock.monotonic() - begun, timed_out)


def _end(process: subprocess.Popen[bytes], output: _Output, clock: Clock, grace: float) -> None:
    _signal(process, signal.SIGTERM)
    end = clock.monotonic() + grace
    while not output.read(process) and clock.monotonic() < end:
        continue
    # Also when the first of them has ended: others of its group may have not.
    _signal(process, signal.SIGKILL)
    process.wait()


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


class _Output:
    """Reads what a process prints without waiting for those who may hold its output open for ever."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._tail = bytearray()
        self._dropped = 0
        self._open = True

    def read(self, process: subprocess.Popen[bytes]) -> bool:
        """Take what there is, waiting a moment for it; True when the process has ended and all it wrote is here."""
        ended = process.poll() is not None
        stream = process.stdout
        if stream is None or not self._open:
            if not ended:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_LOOK)
            return ended
        with selectors.DefaultSelector() as selector:
            selector.register(stream, selectors.EVENT_READ)
            ready = selector.select(0 if ended else _LOOK)
        if not ready:
            return ended
        data = os.read(stream.fileno(), _CHUNK)
        self._open = bool(data)
        self._keep(data)
        return False

    def close(self, process: subprocess.Popen[bytes]) -> None:
        if process.stdout is not None:
            process.stdout.close()

    def text(self) -> str:
        middle = f"\n… {self._dropped} bytes left out …\n".encode() if self._dropped else b""
        return bytes(self._head + middle + self._tail).decode("utf-8", "replace")

    def _keep(self, data: bytes) -> None:
        room = HEAD_BYTES - len(self._head)
        self._head += data[:room]
        self._tail += data[room:]
        if len(self._tail) > TAIL_BYTES:
            self._dropped += len(self._tail) - TAIL_BYTES
            del self._tail[:-TAIL_BYTES]
