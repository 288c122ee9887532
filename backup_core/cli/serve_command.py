"""``davault serve``, and the options that it shares with the service that runs it."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from backup_core.cli.frame import Invocation, UsageError, command
from backup_core.cli.output import Reply
from backup_core.cli.system_commands import start_program
from backup_core.deferred import dataclass

_PANEL = "Control room"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """How the control room is opened."""

    host: Annotated[
        str, typer.Option("--host", metavar="ADDRESS", help="Address to listen on.", rich_help_panel=_PANEL)
    ] = "127.0.0.1"
    port: Annotated[
        int | None,
        typer.Option(
            "--port", min=1, max=65535, help="Of the pages (default: as last time, or 4200).", rich_help_panel=_PANEL
        ),
    ] = None
    runs: Annotated[
        int, typer.Option("--runs", min=1, max=64, help="Runs at the same time.", rich_help_panel=_PANEL)
    ] = 4
    patience: Annotated[
        float,
        typer.Option(
            "--patience",
            metavar="SECONDS",
            min=0,
            max=86_400,
            help="How long runs at work may take to end when everything stops; then they are cancelled.",
            rich_help_panel=_PANEL,
        ),
    ] = 60.0
    login_from: Annotated[
        str | None,
        typer.Option(
            "--login-from",
            metavar="REF",
            help="Have the pages ask for this user:password: env:NAME, file:PATH or keyring:SERVICE/USER.",
            rich_help_panel=_PANEL,
        ),
    ] = None

    def words(self) -> list[str]:
        """The same for a command line."""
        given = {"--host": self.host, "--port": self.port, "--runs": self.runs, "--patience": self.patience}
        given["--login-from"] = self.login_from
        return [word for option, value in given.items() if value is not None for word in (option, str(value))]


def register(app: typer.Typer) -> None:
    """Add this command to ``app``."""
    command(app, "serve")(serve)


def serve(run: Invocation, options: ServeOptions) -> Reply:
    """Open the control room: a Prefect server, a worker, and a scheduled deployment for each configuration.

    Runs until Ctrl+C. Then no new run begins, those at work end or are cancelled after the patience, and everything
    stops; cancelled backups go on at the next start. Everything is kept below the home.
    """
    if options.login_from is not None and ":" not in options.login_from:
        raise UsageError("--login-from takes a reference such as env:NAME, never a password")
    # Prefect may not be imported here: this process becomes the one that starts what needs it.
    start_program([sys.executable, "-m", "deployments.serve", *options.words(), *run.settings.words()])
