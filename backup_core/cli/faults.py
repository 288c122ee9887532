"""How an error is told: what happened, to which object, what to do next; as text or as JSON."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

from backup_core.cli.exits import ExitCode, advice_for, exit_code_of
from backup_core.cli.units import printable
from backup_core.deferred import dataclass
from backup_core.errors import BackupError, Cancelled

if TYPE_CHECKING:
    from rich.console import Console

_REPORT_IT = "this is a fault in the program; run the command again with --log-level debug and report what it prints"


@dataclass(frozen=True, slots=True)
class Fault:
    """An error as it is shown."""

    kind: str
    """The error's class name, stable for scripts."""
    message: str
    advice: str
    """What to do next; "" when the message says it all."""
    exit_code: ExitCode
    transient: bool = False
    """True when the same command may succeed later without anybody changing anything."""

    def document(self) -> dict[str, object]:
        """The one document that ``--json`` prints instead of the command's own."""
        return {
            "error": {
                "kind": self.kind,
                "message": self.message,
                "next": self.advice,
                "exit_code": int(self.exit_code),
                "transient": self.transient,
            }
        }

    def show(self, console: Console) -> None:
        """The same for people."""
        word = "cancelled" if self.exit_code is ExitCode.CANCELLED else "error"
        lines = [printable(line) for line in self.message.splitlines()] or [self.kind]
        console.print(f"{word}: {lines[0]}", soft_wrap=True)
        for line in lines[1:]:
            console.print(line, soft_wrap=True)
        if self.advice:
            console.print(f"  next: {self.advice}", soft_wrap=True)


def fault_of(error: BaseException) -> Fault:
    """Describes any error: foreseen ones in their own words, others as a fault of the program."""
    code = exit_code_of(error)
    kind = type(error).__name__
    if isinstance(error, KeyboardInterrupt):
        return Fault(Cancelled.__name__, "stopped by Ctrl+C", "", code)
    if isinstance(error, BackupError):
        return Fault(kind, str(error) or kind, advice_for(error), code, error.transient)
    if isinstance(error, OSError):
        where = f": {error.filename}" if error.filename is not None else ""
        return Fault(kind, f"{error.strerror or error}{where}", "", code)
    return Fault(kind, f"unexpected {kind}: {error}", _REPORT_IT, code)


def usage_fault(error: Exception, command_path: str) -> Fault:
    """Describes a mistake in the command line of ``command_path``."""
    return Fault("UsageError", str(error), f"{command_path} --help", ExitCode.USAGE)


def show_traceback(error: BaseException, console: Console) -> None:
    """The whole chain of causes, for ``--log-level debug``."""
    console.print("".join(traceback.format_exception(error)), soft_wrap=True, end="")
