"""``davault kit``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backup_core.cli.frame import Invocation, UsageError, command
from backup_core.cli.output import Reply, facts, show_lines

if TYPE_CHECKING:
    from rich.console import Console


def register(app: typer.Typer) -> None:
    """Add this command to ``app``."""
    command(app, "kit")(kit)


def kit(
    run: Invocation,
    *,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The HTML file to write; only you can read it.")],
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Only these configurations (default: all).")
    ] = None,
    include_secrets: Annotated[
        bool, typer.Option("--include-secrets", help="Write passwords and keys on the page; asks first.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Answer that question with yes.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Replace the file when it exists.")] = False,
) -> Reply:
    """Write a page that says how to get everything back without this machine.

    It names each server, account, folder and key fingerprint, with the commands for davault and for plain restic, and
    is made to be printed. It holds no password and no key unless that is asked for and confirmed.
    """
    from backup_core.services.private_files import write_private_file
    from backup_core.services.recovery_kit.facts import gather
    from backup_core.services.recovery_kit.page import render

    if out.exists() and not replace:
        raise UsageError(f"{out} exists; --replace replaces it")
    if include_secrets and not yes:
        _confirm(out)
    made = gather(run.application.manager.backup_service, names or (), include_secrets=include_secrets)
    write_private_file(out.expanduser().absolute(), render(made))
    document = {
        "out": str(out),
        "secrets_included": made.has_secrets,
        "repositories": [
            {
                "url": r.client.url,
                "path": r.target_path,
                "username": r.client.username,
                "repository_id": r.repository_id,
                "key_id": r.key_id,
                "encrypted": r.encrypted,
                "configs": [c.name for c in r.configurations],
            }
            for r in made.repositories
        ],
        "notes": list(made.notes),
    }

    def show(console: Console) -> None:
        rows = [("written", str(out)), ("repositories", str(len(made.repositories)))]
        rows.append(("secrets", "ON THE PAGE: keep it locked up" if made.has_secrets else "none"))
        console.print(facts(rows))
        show_lines(console, "note", made.notes)
        console.print("print it, write down where the keys are, and keep it away from this machine")

    return Reply(document, show)


def _confirm(out: Path) -> None:
    if not sys.stdin.isatty():
        raise UsageError("--include-secrets asks for a confirmation, and there is no terminal; --yes gives it")
    if not typer.confirm(f"Write passwords and keys in clear text to {out}?", err=True):
        raise typer.Abort
