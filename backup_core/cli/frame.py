"""What all commands share: the common options, one answer on stdout, errors told once, exit codes.

A command is a function of an ``Invocation`` and its own options that returns a ``Reply``; ``command`` gives it
the common options and registers it with Typer. Commands import what they need when they run, so that
``davault --help`` and shell completion start at once.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import typer

from backup_core.cli.exits import ExitCode
from backup_core.cli.faults import Fault, fault_of, show_traceback, usage_fault
from backup_core.cli.logs import LogLevel, logging_to
from backup_core.cli.options import Settings, parameters_of, spread
from backup_core.cli.output import Reply, console, write_json
from backup_core.clock import SystemClock
from backup_core.deferred import dataclass
from backup_core.progress import CancelToken, ProgressSink

if TYPE_CHECKING:
    from rich.console import Console

    from backup_core.services.application import Application

PROGRAM = "davault"


class UsageError(typer.TyperException):
    """The options make no sense together; told like the mistakes that Typer itself finds."""

    exit_code = int(ExitCode.USAGE)


@dataclass
class Invocation:
    """One run of one command."""

    settings: Settings
    command_path: str = PROGRAM
    """The command's name as typed, such as "davault client add"."""
    clock: SystemClock = field(default_factory=SystemClock)
    cancel: CancelToken = field(default_factory=CancelToken)
    _resources: ExitStack = field(default_factory=ExitStack)
    _told: Collection[str] = ()

    @cached_property
    def out(self) -> Console:
        """Stdout, for the answer."""
        return console(sys.stdout)

    @cached_property
    def err(self) -> Console:
        """Stderr, for progress, logs, errors and questions."""
        return console(sys.stderr)

    @cached_property
    def application(self) -> Application:
        """The library, opened on the home; closed when the command ends."""
        from backup_core.config.plugins import pass_over_plugins
        from backup_core.storage.webdav.unused import pass_over_http2

        pass_over_plugins()
        pass_over_http2()
        from backup_core.services.application import open_application

        return self._resources.enter_context(open_application(self.settings.home))

    def begin_key(self, config_name: str) -> None:
        """Begin to derive the key of a configuration's repository, which ``application`` is about to open."""
        from backup_core.services.head_start import begin_key

        begin_key(self.settings.home, config_name)

    @contextmanager
    def long_work(self) -> Iterator[ProgressSink]:
        """Shows progress, and lets Ctrl+C set ``cancel``, while the block runs."""
        from backup_core.cli.interrupt import interruptible
        from backup_core.cli.progress_view import progress_view

        with interruptible(self.cancel), progress_view(self.err, self.clock, quiet=self.settings.quiet) as sink:
            yield sink

    def untold(self, notes: Iterable[str]) -> list[str]:
        """The notes that the log on stderr has not shown already: what people must not miss is logged at once."""
        return [note for note in notes if note not in self._told]

    def run(self, work: Callable[[Invocation], Reply]) -> ExitCode:
        """Do ``work``, print its answer or its error, and say how the program ends."""
        try:
            level = self.settings.log_level or LogLevel.WARNING
            with logging_to(lambda: self.err, level=level, file=self.settings.log_file) as self._told, self._resources:
                reply = work(self)
                self._answer(reply)
            return reply.exit_code
        except BrokenPipeError:
            _forget_stdout()
            return ExitCode.FAILED
        except UsageError as mistake:
            return self.tell(usage_fault(mistake, self.command_path))
        except typer.Abort:
            return self.tell(Fault("Cancelled", "no answer was given", "", ExitCode.CANCELLED))
        except (Exception, KeyboardInterrupt) as error:
            return self._fail(error)

    def _answer(self, reply: Reply) -> None:
        if reply.told:
            return
        if self.settings.json_output:
            write_json(reply.document, sys.stdout)
        else:
            reply.show(self.out)
            sys.stdout.flush()

    def _fail(self, error: BaseException) -> ExitCode:
        if self.settings.log_level is LogLevel.DEBUG:
            show_traceback(error, self.err)
        return self.tell(fault_of(error))

    def tell(self, fault: Fault) -> ExitCode:
        """Print an error where it belongs."""
        if self.settings.json_output:
            write_json(fault.document(), sys.stdout)
        fault.show(self.err)
        return fault.exit_code


def _forget_stdout() -> None:
    # The reader of the pipe has gone (`davault files … | head`); what is still buffered must not fail at exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def command(
    group: typer.Typer, name: str, *, opens: str | None = None
) -> Callable[[Callable[..., Reply]], Callable[..., Reply]]:
    """Registers a function as the command ``name``, with the common options added to its own.

    The function's first parameter receives the ``Invocation``; its docstring is the help text. ``opens`` is the
    parameter that names the configuration whose repository will be opened: its key is derived while packages load.
    """

    def register(function: Callable[..., Reply]) -> Callable[..., Reply]:
        group.command(name, help=_help_of(function))(_with_common_options(function, opens))
        return function

    return register


def _help_of(function: Callable[..., Reply]) -> str:
    # Lines are joined into paragraphs, because Typer keeps every line break that is in the source.
    paragraphs = (inspect.getdoc(function) or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _with_common_options(function: Callable[..., Reply], opens: str | None) -> Callable[..., None]:
    def work(invocation: Invocation, arguments: Mapping[str, Any]) -> Reply:
        if opens is not None and arguments[opens] is not None:
            invocation.begin_key(arguments[opens])
        return function(invocation, **arguments)

    def run(ctx: typer.Context, settings: Settings, **arguments: Any) -> None:
        general = ctx.obj if isinstance(ctx.obj, Settings) else Settings()
        invocation = Invocation(settings.over(general), ctx.command_path)
        raise typer.Exit(invocation.run(lambda it: work(it, arguments)))

    context, settings, _ = parameters_of(run)
    run.__name__ = function.__name__
    return spread(run, [context, *parameters_of(function)[1:], settings])
