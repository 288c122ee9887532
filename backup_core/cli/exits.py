"""Exit codes: one enum for every command, and which error ends in which code with which advice."""

from __future__ import annotations

from enum import IntEnum

from backup_core import errors


class ExitCode(IntEnum):
    """How the program ended, for scripts. docs/cli.md lists the same codes."""

    OK = 0
    """Everything was done."""
    FAILED = 1
    """The command failed for a reason that has no code of its own."""
    USAGE = 2
    """The command line is wrong; nothing was done."""
    PROBLEMS = 3
    """Done, with problems: some files could not be read, restored or kept exactly."""
    DAMAGE = 4
    """Missing or damaged data was found in the repository, or a validation could not rule it out."""
    CONFIGURATION = 5
    """A configuration, a client, a backup id or a password reference is wrong or unknown."""
    STORAGE = 6
    """The server cannot be reached, refuses, is full, or its answers cannot be trusted."""
    REPOSITORY = 7
    """Wrong key, no repository at this place, or one already there where a new one was to be made."""
    BUSY = 8
    """Locked by somebody else, or already running."""
    LOCAL = 9
    """A local source, target or the home cannot be read or written."""
    CANCELLED = 130
    """Stopped by Ctrl+C, SIGTERM or a cancel request."""


_RULES: tuple[tuple[type[Exception], ExitCode, str], ...] = (
    (errors.Cancelled, ExitCode.CANCELLED, "run the same command again: what was stored so far is reused"),
    (errors.LockHeld, ExitCode.BUSY, "wait until the other program has finished, then run the command again"),
    (errors.LockLost, ExitCode.BUSY, "run the command again: what was stored so far is reused"),
    (errors.WrongKey, ExitCode.REPOSITORY, "check the configuration's key (davault config show NAME)"),
    (errors.NotARepository, ExitCode.REPOSITORY, "make one first: davault init NAME"),
    (errors.RepositoryExists, ExitCode.REPOSITORY, ""),
    (errors.UnsupportedVersion, ExitCode.REPOSITORY, "use a newer version of this program"),
    (errors.ListingUnproved, ExitCode.STORAGE, "try again later: the server did not prove its listing complete"),
    (errors.BlobMissing, ExitCode.DAMAGE, "see what is affected: davault validate --all"),
    (errors.IndexIncomplete, ExitCode.DAMAGE, "see what is affected: davault validate --all"),
    (errors.FormatError, ExitCode.DAMAGE, "see what is affected: davault validate --all"),
    (errors.AccessDenied, ExitCode.STORAGE, "check user name, password and rights: davault client probe CLIENT"),
    (errors.QuotaExceeded, ExitCode.STORAGE, "make room on the server; earlier backups are intact"),
    (errors.StorageError, ExitCode.STORAGE, "check the server: davault client probe CLIENT"),
    (errors.SourceError, ExitCode.LOCAL, "check that the source exists and may be read"),
    (errors.RestoreError, ExitCode.LOCAL, "choose another --target, or what to do with files that exist: --overwrite"),
    (errors.CleanupHeld, ExitCode.BUSY, "look at what was found: davault hold list"),
    (errors.CatalogueError, ExitCode.LOCAL, "check the home: davault doctor"),
    (errors.ConfigError, ExitCode.CONFIGURATION, ""),
    (OSError, ExitCode.LOCAL, ""),
)


def exit_code_of(error: BaseException) -> ExitCode:
    """The code a program ends with when ``error`` stopped it; wrapping errors are looked through to their cause."""
    return _rule_of(error)[0]


def advice_for(error: BaseException) -> str:
    """What to do next, in one sentence; "" when the message says it all."""
    return _rule_of(error)[1]


def _rule_of(error: BaseException) -> tuple[ExitCode, str]:
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        if isinstance(current, KeyboardInterrupt):
            return ExitCode.CANCELLED, ""
        for kind, code, advice in _RULES:
            if isinstance(current, kind):
                return code, advice
        if not isinstance(current, errors.BackupError):
            break  # an unforeseen error must not be renamed after what it happened to be raised from
        current = current.__cause__
    return ExitCode.FAILED, ""
