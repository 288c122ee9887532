"""Running the commands and checks of a step. What goes wrong is a result, never an error of ours."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from backup_core.clock import Clock
from backup_core.config.recovery_checks import (
    CommandCheck,
    FileCheck,
    HttpCheck,
    PostgresqlCheck,
    RecoveryCheck,
    RecoveryCommand,
    SqliteCheck,
)
from backup_core.config.recovery_plans import RecoveryStep
from backup_core.config.secrets import resolve_secret
from backup_core.deferred import dataclass
from backup_core.engine.commands import CommandLine, run_command, shown
from backup_core.errors import BackupError, Cancelled
from backup_core.progress import CancelToken
from backup_core.services.disaster.probes import ask, ask_sqlite, unexpected
from backup_core.services.disaster.records import ActResult, Mode
from backup_core.services.known_secrets import KnownSecrets

_LONGEST_ANSWER = 1 << 20
_LONGEST_OUTPUT = 4000
"""Characters of a command's output that are kept."""
_PAUSE = 1.0
"""Seconds between two questions to a service that is still starting."""
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Surroundings:
    """Where a step is being brought back, and why."""

    plan: str
    step: RecoveryStep
    mode: Mode
    run_id: str
    base: Path
    target: Path
    """Where it is restored to: in a drill, somewhere in the scratch directory."""
    planned_target: Path
    """Where the plan says it goes."""
    backup_id: str = ""

    @property
    def environment(self) -> dict[str, str]:
        """What commands are told in their environment."""
        return {
            "DAVAULT_PLAN": self.plan,
            "DAVAULT_STEP": self.step.name,
            "DAVAULT_MODE": self.mode,
            "DAVAULT_RUN": self.run_id,
            "DAVAULT_BASE": str(self.base),
            "DAVAULT_TARGET": str(self.target),
            "DAVAULT_BACKUP_ID": self.backup_id,
        }

    def filled(self, text: str, quote: Callable[[str], str] = str) -> str:
        """``text`` with the names in braces replaced."""
        for name, value in (("target", self.target), ("base", self.base), ("step", self.step.name)):
            text = text.replace("{" + name + "}", quote(str(value)))
        return text

    def command(self, command: str | list[str]) -> CommandLine:
        """A command with its braces filled; in a shell line the values are quoted."""
        if isinstance(command, str):
            return self.filled(command, shlex.quote)
        return tuple(self.filled(word) for word in command)

    def path(self, path: str) -> Path | None:
        """A file of this step, None when it lies outside of what a drill restores."""
        given = Path(self.filled(path))
        if not given.is_absolute():
            return self.target / given
        if self.mode == "execution" or given.is_relative_to(self.target):
            return given
        if given.is_relative_to(self.planned_target):
            return self.target / given.relative_to(self.planned_target)
        return None


class Acts:
    """Runs commands and checks."""

    def __init__(self, clock: Clock, cancel: CancelToken, known: KnownSecrets | None = None) -> None:
        """``known`` are secrets that commands do not get to see, and that are not shown if they come to print them."""
        self._known = known or KnownSecrets()
        self._clock = clock
        self._cancel = cancel

    def command(self, stage: str, command: RecoveryCommand, at: Surroundings) -> ActResult:
        """One command before or after the restore."""
        line = at.command(command.command)
        if at.mode == "drill" and not command.in_drill:
            return ActResult(stage, "command", shown(line), "skipped", "not run in drills")
        return self._run(stage, line, command.timeout, at)

    def check(self, check: RecoveryCheck, at: Surroundings, *, sampled: bool = False) -> ActResult:
        """One check. After a drill of a sample only single files can be checked."""
        kinds: Mapping[type, Callable[..., ActResult]] = {
            CommandCheck: self._command,
            FileCheck: self._file,
            HttpCheck: self._http,
            SqliteCheck: self._sqlite,
            PostgresqlCheck: self._postgresql,
        }
        begun = self._clock.monotonic()
        if at.mode == "drill" and not check.in_drill:
            return ActResult("check", check.kind, subject(check, at), "skipped", "not checked in drills")
        if sampled and not isinstance(check, (FileCheck, SqliteCheck)):
            return ActResult("check", check.kind, subject(check, at), "skipped", "only a sample was restored")
        try:
            return kinds[type(check)](check, at)
        except Cancelled:
            raise
        except (BackupError, OSError) as error:
            return self._result(check, at, str(error), begun)

    # ---- each kind

    def _command(self, check: CommandCheck, at: Surroundings) -> ActResult:
        return self._run("check", at.command(check.command), check.timeout, at)

    def _run(self, stage: str, line: CommandLine, timeout: float, at: Surroundings) -> ActResult:
        done = run_command(
            line,
            clock=self._clock,
            timeout=timeout,
            environment=self._known.environment() | at.environment,
            inherit=False,
            directory=at.target if at.target.is_dir() else None,
            cancel=self._cancel,
        )
        told = f"{done.failure}: {done.last_line}" if done.failure and done.last_line else done.failure
        output = self._known.without(done.output)[-_LONGEST_OUTPUT:]
        outcome: Literal["failed", "passed"] = "failed" if done.failure else "passed"
        return ActResult(stage, "command", shown(line), outcome, self._known.without(told), done.seconds, output)

    def _file(self, check: FileCheck, at: Surroundings) -> ActResult:
        begun = self._clock.monotonic()
        path = at.path(check.path)
        if path is None:
            return ActResult("check", "file", check.path, "skipped", "it lies outside of what a drill restores")
        if not path.is_file():
            return self._result(check, at, "there is no such file", begun)
        size = path.stat().st_size
        if size < check.min_size:
            return self._result(check, at, f"it has {size} bytes instead of at least {check.min_size}", begun)
        if check.sha256 is not None and (found := self._sha256(path)) != check.sha256:
            return self._result(check, at, f"its SHA-256 is {found}", begun)
        return self._result(check, at, "", begun)

    def _sha256(self, path: Path) -> str:
        digest = hashlib.sha256()
        with path.open("rb") as stream:
            while data := stream.read(_CHUNK):
                self._cancel.check()
                digest.update(data)
        return digest.hexdigest()

    def _http(self, check: HttpCheck, at: Surroundings) -> ActResult:
        begun = self._clock.monotonic()
        url = at.filled(check.url)
        while True:
            fault = ask(url, status=check.status, contains=check.contains, timeout=check.timeout, most=_LONGEST_ANSWER)
            if not fault or self._clock.monotonic() - begun >= check.patience:
                return self._result(check, at, fault, begun)
            self._clock.sleep(_PAUSE, self._cancel)

    def _sqlite(self, check: SqliteCheck, at: Surroundings) -> ActResult:
        begun = self._clock.monotonic()
        path = at.path(check.path)
        if path is None:
            return ActResult("check", "sqlite", check.path, "skipped", "it lies outside of what a drill restores")
        if not path.is_file():
            return self._result(check, at, "there is no such file", begun)
        deadline = begun + check.timeout
        fault = ask_sqlite(
            path,
            check.query,
            expect=check.expect,
            stop=lambda: self._cancel.cancelled or self._clock.monotonic() > deadline,
        )
        self._cancel.check()
        return self._result(check, at, fault, begun)

    def _postgresql(self, check: PostgresqlCheck, at: Surroundings) -> ActResult:
        begun = self._clock.monotonic()
        environment = {"PGCONNECT_TIMEOUT": "10"}
        if check.password is not None:
            what = f"the PostgreSQL password of step {at.step.name!r}"
            environment["PGPASSWORD"] = resolve_secret(check.password, what=what).reveal()
        # The connection string holds no password by the plan's own rules, so it may be seen among the processes.
        words = ("psql", "-X", "-A", "-t", "-q", "-w", "-v", "ON_ERROR_STOP=1", "-d", at.filled(check.connection))
        done = run_command(
            (*words, "-c", check.query),
            clock=self._clock,
            timeout=check.timeout,
            environment=environment,
            cancel=self._cancel,
        )
        if done.failure:
            told = f"{done.failure}: {done.last_line}" if done.last_line else done.failure
            return self._result(check, at, told, begun)
        rows = done.output.splitlines()
        first = rows[0].split("|")[0] if rows else None
        return self._result(check, at, unexpected(first, check.expect), begun)

    def _result(self, check: RecoveryCheck, at: Surroundings, fault: str, begun: float) -> ActResult:
        seconds = self._clock.monotonic() - begun
        return ActResult("check", check.kind, subject(check, at), "failed" if fault else "passed", fault, seconds)


def subject(check: RecoveryCheck, at: Surroundings) -> str:
    """What a check looks at, for people."""
    if isinstance(check, CommandCheck):
        return shown(at.command(check.command))
    if isinstance(check, HttpCheck):
        return at.filled(check.url)
    if isinstance(check, SqliteCheck):
        return f"{check.path}: {check.query}"
    if isinstance(check, PostgresqlCheck):
        return check.query
    return check.path
