"""The commands about the program itself: ``quickstart``, ``doctor``, ``version``."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from backup_core.cli.exits import ExitCode
from backup_core.cli.frame import Invocation, command
from backup_core.cli.output import Reply, table

if TYPE_CHECKING:
    from rich.console import Console

FORMAT_VERSION = 2
"""Of the restic repository format, as it is written."""


def register(app: typer.Typer) -> None:
    """Add these commands to ``app``."""
    command(app, "quickstart")(quickstart)
    command(app, "doctor")(doctor)
    command(app, "version")(version)


def program_version() -> str:
    """This program's version, as it was installed."""
    return metadata.version("davault")


def version(run: Invocation) -> Reply:
    """Show the versions of the program, of Python and of the repository format."""
    document: dict[str, object] = {
        "version": program_version(),
        "repository_format": FORMAT_VERSION,
        "python": platform.python_version(),
        "platform": platform.platform(),
    }

    def show(out: Console) -> None:
        out.print(
            f"davault {document['version']} (restic repository format {FORMAT_VERSION}, "
            f"Python {document['python']}, {document['platform']})",
            soft_wrap=True,
        )

    return Reply(document, show)


def doctor(run: Invocation) -> Reply:
    """Check the installation, the catalogue, each client and each configuration."""
    from backup_core.cli import documents

    findings = run.application.doctor()
    errors = sum(f.level.value == "error" for f in findings)
    warnings = sum(f.level.value == "warning" for f in findings)
    document = {
        "ok": not errors,
        "errors": errors,
        "warnings": warnings,
        "findings": [documents.finding(f) for f in findings],
    }

    def show(out: Console) -> None:
        rows = [(f.level.value, f.subject, f.message) for f in findings]
        out.print(table(("LEVEL", "SUBJECT", "MESSAGE"), rows))
        for f in findings:
            if f.advice:
                out.print(f"{f.subject}: {f.advice}", soft_wrap=True)
        out.print(f"{errors} errors, {warnings} warnings")

    return Reply(document, show, ExitCode.PROBLEMS if errors else ExitCode.OK)


def quickstart(
    run: Invocation,
    *,
    source: Annotated[
        Path | None,
        typer.Option("--source", metavar="PATH", help="What to back up (default: Python's standard library)."),
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the WebDAV and Prefect servers running, to look at them.")
    ] = False,
    stop: Annotated[bool, typer.Option("--stop", help="Only stop servers that --keep left running.")] = False,
) -> Reply:
    """Do the main job once, as Prefect flows, with servers of its own on this machine.

    Backs up real files, changes some, backs up again, validates, restores, and compares byte for byte.
    """
    # Prefect may not be imported here, and the flows stop their servers themselves on Ctrl+C: so this process
    # becomes theirs, and signals, output and exit code are what they are.
    start_program([sys.executable, "-m", "flows.quickstart", *_quickstart_options(run, source, keep=keep, stop=stop)])


def _quickstart_options(run: Invocation, source: Path | None, *, keep: bool, stop: bool) -> list[str]:
    given = [] if source is None else ["--source", str(source)]
    switches = {"--keep": keep, "--stop": stop}
    return [*given, *(option for option, wanted in switches.items() if wanted), *run.settings.words()]


def start_program(words: list[str]) -> NoReturn:
    """Turn this process into another program."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(words[0], words)  # noqa: S606 - no shell is wanted
