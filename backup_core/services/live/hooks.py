"""The commands around a backup: before it, after it, and when it failed."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from backup_core.clock import Clock
from backup_core.engine.commands import CommandResult, run_command, shown
from backup_core.errors import BackupExecutionError, Cancelled
from backup_core.progress import CancelToken, ProgressTracker
from backup_core.results import Outcome, Problem
from backup_core.services.live.environment import CommandScene

if TYPE_CHECKING:
    from backup_core.config.commands import CommandText, Hooks

_LOG = logging.getLogger(__name__)
_LOGGED = 4000
"""Characters of a command's output that are logged: the last ones."""
_TOLD = 300
"""Characters of it that a message holds."""


class HookedRun:
    """The time between the commands before and those after, as a context manager.

    Entering runs the commands before; the first that fails raises ``BackupExecutionError``. Leaving runs, if the block
    or those failed, the commands for a failure, and in any case those after. They run even when the run was cancelled,
    since they set right again what the ones before have done.
    """

    def __init__(
        self, hooks: Hooks, scene: CommandScene, *, clock: Clock, progress: ProgressTracker, cancel: CancelToken
    ) -> None:
        self.outcome = Outcome.COMPLETED
        """What the commands after are told, unless the block raises."""
        self.problems: list[Problem] = []
        """What went wrong with the commands after; complete when the block is left."""
        self._hooks = hooks
        self._scene = scene
        self._clock = clock
        self._progress = progress
        self._cancel = cancel

    def __enter__(self) -> Self:
        try:
            self._run("before", self._hooks.before, self._cancel)
        except BaseException as error:
            self._conclude(error)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._conclude(error)

    def _conclude(self, error: BaseException | None) -> None:
        outcome = self.outcome
        if error is not None:
            outcome = Outcome.CANCELLED if isinstance(error, (Cancelled, KeyboardInterrupt)) else Outcome.FAILED
        told = {
            "DAVAULT_OUTCOME": outcome.value,
            "DAVAULT_ERROR": "" if error is None else self._scene.without_secrets(str(error)),
        }
        stages: list[tuple[str, Sequence[CommandText]]] = [("after", self._hooks.after)]
        if error is not None:
            stages.insert(0, ("on-failure", self._hooks.on_failure))
        for stage, commands in stages:
            for command in commands:
                self._conclude_with(stage, command, told, error)

    def _conclude_with(
        self, stage: str, command: CommandText, told: dict[str, str], error: BaseException | None
    ) -> None:
        try:
            self._run(stage, [command], None, **told)
        except BackupExecutionError as failure:
            if error is not None:
                error.add_note(str(failure))
            self.problems.append(Problem("hook", str(failure)))

    def _run(self, stage: str, commands: Sequence[CommandText], cancel: CancelToken | None, **told: str) -> None:
        """Raises ``BackupExecutionError`` for the first command that fails, ``Cancelled``."""
        for command in commands:
            line = command if isinstance(command, str) else tuple(command)
            self._progress.say(f"running the command {stage}: {shown(line)}")
            # The whole environment is given, so that what is left out of it stays out.
            result = run_command(
                line,
                clock=self._clock,
                timeout=self._hooks.timeout,
                environment=self._scene.seen(stage, **told),
                inherit=False,
                cancel=cancel,
            )
            self._progress.say("")
            output = self._scene.without_secrets(result.output).strip()
            if output:
                _LOG.info("the command %s the backup said:\n%s", stage, output[-_LOGGED:])
            if not result.succeeded:
                raise self._failure(stage, self._scene.without_secrets(shown(line)), result, output)

    @staticmethod
    def _failure(stage: str, line: str, result: CommandResult, output: str) -> BackupExecutionError:
        because = f". It said: {output[-_TOLD:]}" if output else ""
        when = "for a failure of" if stage == "on-failure" else stage
        message = f"the command {when} the backup ({line}) failed: {result.failure}{because}"
        _LOG.warning("%s", message)
        return BackupExecutionError(message)
