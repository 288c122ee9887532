"""``davault repair``: making the best of a damaged repository."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from backup_core.cli import units
from backup_core.cli.exits import ExitCode
from backup_core.cli.frame import Invocation, command
from backup_core.cli.output import Reply, facts, show_lines, show_problems

if TYPE_CHECKING:
    from rich.console import Console

group = typer.Typer(name="repair", help="Make the best of a damaged repository.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The configuration's name.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done; change nothing.")]


@command(group, "index")
def index(run: Invocation, *, name: NameArgument, dry_run: DryRun = False) -> Reply:
    """Make the index list what the packs on the server hold, and nothing else.

    Index files that cannot be read are replaced by what the packs themselves say, lost packs are taken off. Exit code 4
    when something stays that needs davault repair packs.
    """
    from backup_core.cli import documents

    with run.long_work() as progress:
        plan = run.application.upkeep.repairs.index(name, dry_run=dry_run, cancel=run.cancel, progress=progress)
    document = {
        "config": name,
        "dry_run": dry_run,
        "put_back": sorted(plan.put_back),
        "replaced": dict(plan.unreadable),
        "packs_listed": len(plan.to_list),
        "packs_dropped": sorted(pack.hex() for pack in plan.to_drop),
        "problems": documents.problems(plan.problems),
    }

    def show(out: Console) -> None:
        rows = [
            ("index files put back from this machine", units.number(len(plan.put_back))),
            ("unreadable index files replaced", units.number(len(plan.unreadable))),
            ("packs listed by their own headers", units.number(len(plan.to_list))),
            ("lost packs no longer listed", units.number(len(plan.to_drop))),
        ]
        out.print(facts(rows))
        show_problems(out, plan.problems)
        if plan.to_drop:
            out.print("next: davault backup --type full, which stores again what the source still has")

    return Reply(document, show, ExitCode.DAMAGE if plan.problems else ExitCode.OK)


@command(group, "packs")
def packs(
    run: Invocation,
    *,
    name: NameArgument,
    packs: Annotated[list[str] | None, typer.Argument(metavar="[PACK]...", help="Only these (default: find them).")] = (
        None
    ),
    read_data: Annotated[
        bool, typer.Option("--read-data", help="Download all packs to find damaged ones, not only look at their sizes.")
    ] = False,
    dry_run: DryRun = False,
) -> Reply:
    """Rebuild damaged packs from parity; without it, store anew what can be read of them, and remove them.

    The bytes of packs that are removed are kept below the home, in damaged/. Exit code 4 when something is lost.
    """
    with run.long_work() as progress:
        done = run.application.upkeep.repairs.packs(
            name, packs or (), read_data=read_data, dry_run=dry_run, cancel=run.cancel, progress=progress
        )
    report = done.report
    damaged = [
        {"pack": pack.hex(), "reason": reason} for pack, reason in zip(done.plan.packs, done.plan.reasons, strict=True)
    ]
    document = {
        "config": name,
        "dry_run": dry_run,
        "damaged": damaged,
        "rebuilt": [pack.hex() for pack in done.rebuilt],
        "not_rebuilt": {pack.hex(): why for pack, why in done.not_rebuilt.items()},
        "salvaged": report.salvaged if report else None,
        "elsewhere": report.elsewhere if report else None,
        "lost": list(done.lost),
        "kept_in": str(report.kept_in) if report and report.kept_in else None,
    }

    def show(out: Console) -> None:
        rows = [("damaged packs", units.number(len(damaged)))]
        if done.rebuilt:
            rows.append(("rebuilt from parity", units.number(len(done.rebuilt))))
        if report is not None:
            rows += [
                ("blobs stored anew", units.number(report.salvaged)),
                ("blobs stored elsewhere as well", units.number(report.elsewhere)),
                ("blobs lost", units.number(len(done.lost))),
                ("damaged packs kept in", str(report.kept_in)),
            ]
        out.print(facts(rows))
        show_lines(out, "damaged", [one["reason"] for one in damaged])
        if done.lost:
            out.print("next: davault backup --type full, then davault repair snapshots")

    bad = bool(done.lost) or (dry_run and bool(damaged))
    return Reply(document, show, ExitCode.DAMAGE if bad else ExitCode.OK)


@command(group, "snapshots")
def snapshots(
    run: Invocation,
    *,
    name: NameArgument,
    backups: Annotated[
        list[str] | None, typer.Argument(metavar="[BACKUP_ID]...", help="Only these (default: find them).")
    ] = None,
    forget: Annotated[bool, typer.Option("--forget", help="Remove the damaged backups afterwards.")] = False,
    dry_run: DryRun = False,
) -> Reply:
    """Make copies of damaged backups that hold what is left of them.

    Make a full backup first: it stores again what the source still has, which may make them whole. What is left of a
    damaged file is called NAME.incomplete. Exit code 4 when something is lost.
    """
    with run.long_work() as progress:
        found = run.application.upkeep.repairs.snapshots(
            name, backups or (), forget=forget, dry_run=dry_run, cancel=run.cancel, progress=progress
        )
    document = {
        "config": name,
        "dry_run": dry_run,
        "damaged": [
            {
                "snapshot_id": one.snapshot.id,
                "time": units.timestamp(one.snapshot.time),
                "lost": list(one.lost),
                "hopeless": one.hopeless,
                "repaired_as": one.repaired_as or None,
                "forgotten": forget and not dry_run,
            }
            for one in found
        ],
    }

    def show(out: Console) -> None:
        out.print(f"{len(found)} damaged backups" if len(found) != 1 else "1 damaged backup")
        for one in found:
            became = f"what is left is {one.repaired_as[:8]}" if one.repaired_as else "no copy was made"
            if one.hopeless:
                became = "nothing is left of it"
            out.print(f"{one.snapshot.id[:8]} of {one.snapshot.time:%Y-%m-%d %H:%M}: {became}")
            show_lines(out, "  lost", one.lost)

    return Reply(document, show, ExitCode.DAMAGE if found else ExitCode.OK)
