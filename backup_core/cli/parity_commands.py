"""``davault parity``: what damaged and lost packs can be rebuilt from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from backup_core.cli import units
from backup_core.cli.exits import ExitCode
from backup_core.cli.frame import Invocation, UsageError, command
from backup_core.cli.output import Reply, facts, show_problems

if TYPE_CHECKING:
    from rich.console import Console

group = typer.Typer(
    name="parity", help="Redundancy on the server, to rebuild damaged packs from.", no_args_is_help=True
)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The configuration's name.")]


@command(group, "create")
def create(
    run: Invocation,
    *,
    name: NameArgument,
    share: Annotated[
        str | None,
        typer.Option("--share", metavar="SHARE", help="How much, such as 5% (default: the configuration's)."),
    ] = None,
    read_data: Annotated[
        bool, typer.Option("--read-data", help="Download the parity that is there, and replace what is damaged.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be made; change nothing.")] = False,
) -> Reply:
    """Give parity to all packs that have none.

    Downloads those packs of which this machine has no copy. With davault config edit NAME --parity 5% each backup makes
    its own parity, without any download.
    """
    from backup_core.cli import documents
    from backup_core.config import rules

    try:
        wanted = None if share is None else rules.fraction(share)
    except ValueError as error:
        raise UsageError(f"--share: {error}") from error
    with run.long_work() as progress:
        done = run.application.upkeep.parity.create(
            name, wanted, read_data=read_data, dry_run=dry_run, cancel=run.cancel, progress=progress
        )
    plan, report = done.plan, done.report
    document = {
        "config": name,
        "dry_run": dry_run,
        "share": plan.share,
        "packs": sum(map(len, plan.groups)),
        "bytes_to_read": plan.bytes_to_read,
        "bytes_to_store": plan.bytes_to_store,
        "objects": report.objects if report else 0,
        "bytes_stored": report.bytes_stored if report else 0,
        "stale": len(plan.stale) + len(plan.useless),
        "removed": report.removed if report else 0,
        "problems": documents.problems(report.problems if report else ()),
    }

    def show(out: Console) -> None:
        rows = [
            ("packs without parity", units.number(sum(map(len, plan.groups)))),
            ("to be downloaded", units.size(plan.bytes_to_read)),
            ("stale parity", units.number(len(plan.stale) + len(plan.useless))),
        ]
        if dry_run:
            rows.append(("would be stored", f"about {units.size(plan.bytes_to_store)}"))
        elif report is not None:
            rows += [("stored", f"{units.size(report.bytes_stored)} in {units.number(report.objects)} objects")]
        out.print(facts(rows))
        show_problems(out, report.problems if report else ())

    bad = report is not None and bool(report.problems)
    return Reply(document, show, ExitCode.DAMAGE if bad else ExitCode.OK)


@command(group, "status")
def status(
    run: Invocation,
    *,
    name: NameArgument,
    read_data: Annotated[
        bool, typer.Option("--read-data", help="Download all parity, and check every byte of it.")
    ] = False,
) -> Reply:
    """Say how many packs have parity, and what it takes on the server."""
    from backup_core.cli import documents

    with run.long_work() as progress:
        found = run.application.upkeep.parity.status(name, read_data=read_data, cancel=run.cancel, progress=progress)
    document = {
        "config": name,
        "packs": found.packs,
        "protected": found.protected,
        "objects": found.objects,
        "bytes_stored": found.bytes_stored,
        "stale": found.stale,
        "checked": found.checked,
        "problems": documents.problems(found.problems),
    }

    def show(out: Console) -> None:
        out.print(
            facts(
                [
                    ("packs", units.number(found.packs)),
                    ("with parity", units.number(found.protected)),
                    ("stored", f"{units.size(found.bytes_stored)} in {units.number(found.objects)} objects"),
                    ("stale", units.number(found.stale)),
                ]
            )
        )
        show_problems(out, found.problems)
        if found.protected < found.packs or found.stale:
            out.print(f"next: davault parity create {units.printable(name)}")

    return Reply(document, show, ExitCode.DAMAGE if found.problems else ExitCode.OK)
