"""``davault prune``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from backup_core.cli import units
from backup_core.cli.frame import Invocation, command
from backup_core.cli.output import Reply, facts, table

if TYPE_CHECKING:
    from rich.console import Console

    from backup_core.services.retention.pruning import PruneResult


def register(app: typer.Typer) -> None:
    """Add this command to ``app``."""
    command(app, "prune", opens="name")(prune)


def prune(
    run: Invocation,
    *,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The configuration's name.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be removed; change nothing.")] = False,
    max_unused: Annotated[
        str,
        typer.Option(
            "--max-unused", metavar="A", help="Unneeded data that may stay: 5% of the rest, 500M, 0 or unlimited."
        ),
    ] = "5%",
    max_repack_size: Annotated[
        str | None, typer.Option("--max-repack-size", metavar="SIZE", help="Copy at most so much, such as 2G.")
    ] = None,
    max_requests: Annotated[
        int | None,
        typer.Option("--max-requests", metavar="N", help="Most requests for copying, index and deleting."),
    ] = None,
) -> Reply:
    """Remove data that no backup needs any more from a configuration's repository.

    Nothing is removed unless everything that backups need is certainly there. Ctrl+C stops cleanly: the next run
    carries on.
    """
    from backup_core.cli import documents
    from backup_core.services.retention.pruning import PruneLimits

    limits = PruneLimits(max_unused=max_unused, max_repack_size=max_repack_size, max_requests=max_requests)
    with run.long_work() as progress:
        result = run.application.prune(name, limits=limits, dry_run=dry_run, cancel=run.cancel, progress=progress)
    return Reply(documents.prune(result), lambda out: show_prune(out, result))


def show_prune(out: Console, result: PruneResult) -> None:
    """The plan as a table, and what came of it."""
    would = "would be " if result.dry_run else ""
    planned = result.planned_requests
    rows = [
        (f"{would}kept", result.kept_packs, result.kept_bytes, 0),
        (f"{would}copied in part", result.repacked_packs, result.repacked_bytes, planned.get("copy", 0)),
        (f"{would}deleted", result.deleted_packs, result.deleted_bytes, planned.get("delete", 0)),
        ("  of interrupted runs", result.unreferenced_packs, result.unreferenced_bytes, 0),
        ("index written anew", 0, 0, planned.get("index", 0)),
    ]
    shown = [
        (what, units.number(packs), units.size(size), f"about {units.number(count)}" if count else "-")
        for what, packs, size, count in rows
    ]
    out.print(table(("", "PACKS", "SIZE", "REQUESTS"), shown, right=("PACKS", "SIZE", "REQUESTS")))
    ended = [
        (f"{would}given back", units.size(result.freed_bytes)),
        ("unneeded data that stays", units.size(result.unused_bytes)),
        ("requests sent", units.number(sum(result.requests.values()))),
        ("time", units.duration(result.seconds)),
    ]
    out.print(facts(ended))
    if result.dry_run:
        out.print("nothing was changed")
