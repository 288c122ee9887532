"""``davault cleanup``, ``forget``, ``pin`` and ``hold``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from backup_core.cli import units
from backup_core.cli.exits import ExitCode
from backup_core.cli.frame import Invocation, UsageError, command
from backup_core.cli.keep_options import KeepOptions
from backup_core.cli.output import Reply, facts, show_lines, table
from backup_core.deferred import dataclass

if TYPE_CHECKING:
    from rich.console import Console

    from backup_core.services.retention.pruning import PruneLimits
    from backup_core.services.retention.records import CleanupResult, Hold, Pin

pins = typer.Typer(name="pin", help="Backups that stay whatever the rules say.", no_args_is_help=True)
holds = typer.Typer(
    name="hold", help="Runs that looked like a disaster, after which nothing is removed.", no_args_is_help=True
)

BackupArgument = Annotated[
    str, typer.Argument(metavar="BACKUP_ID", help="As davault list shows it, or a snapshot id's first digits.")
]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Say what would go, and why; change nothing.")]


def register(app: typer.Typer) -> None:
    """Add these commands to ``app``."""
    command(app, "cleanup", opens="name")(cleanup)
    command(app, "forget")(forget)


@dataclass(frozen=True, slots=True, kw_only=True)
class _OriginalRules:
    keep_count: Annotated[int | None, typer.Option("--keep-count", metavar="N", help="As --keep-last.")] = None
    keep_days: Annotated[
        int | None, typer.Option("--keep-days", metavar="N", help="All at most N days older than the newest.")
    ] = None
    max_versions: Annotated[int | None, typer.Option("--max-versions", metavar="N", help="As --keep-last.")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pruning:
    prune: Annotated[bool, typer.Option("--prune", help="Give back the room at once.")] = False
    max_unused: Annotated[
        str | None, typer.Option("--max-unused", metavar="A", help="With --prune: as of davault prune (5%).")
    ] = None

    def limits(self) -> PruneLimits | None:
        if not self.prune:
            if self.max_unused is not None:
                raise UsageError("--max-unused has a meaning only with --prune")
            return None
        from backup_core.services.retention.pruning import PruneLimits

        return PruneLimits() if self.max_unused is None else PruneLimits(max_unused=self.max_unused)


def cleanup(
    run: Invocation,
    *,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The configuration's name.")],
    rules: KeepOptions,
    original: _OriginalRules,
    pruning: _Pruning,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
) -> Reply:
    """Forget the old backups of a configuration that no rule keeps.

    Without any rule here, those of the configuration count. Pinned backups, the newest one and the newest that was
    validated always stay. The room of forgotten backups is given back by --prune, or later by davault prune.
    """
    from backup_core.cli import retention_documents

    wanted = rules.rules(count=original.keep_count, days=original.keep_days, max_versions=original.max_versions)
    limits = pruning.limits()
    retention = run.application.retention
    with run.long_work() as progress:
        planned = retention.plan(name, wanted, prune=limits if dry_run else None, cancel=run.cancel, progress=progress)
    if dry_run:
        return Reply(retention_documents.cleanup(planned), lambda out: _show_cleanup(out, planned))
    if planned.surplus and not planned.holds and not yes:
        _show_cleanup(run.err, planned)
        _ask(run, f"Forget {_count(len(planned.surplus), 'backup')}?")
    with run.long_work() as progress:
        agreed = [backup.snapshot_id for backup in planned.surplus]
        result = retention.cleanup(name, wanted, only=agreed, prune=limits, cancel=run.cancel, progress=progress)
    return Reply(retention_documents.cleanup(result), lambda out: _show_cleanup(out, result))


def _ask(run: Invocation, question: str) -> None:
    if run.settings.json_output or not sys.stdin.isatty():
        raise UsageError("nobody can be asked here: say --yes, or look first with --dry-run")
    typer.confirm(question, abort=True, err=True)


def _show_cleanup(out: Console, result: CleanupResult) -> None:
    from backup_core.cli.prune_command import show_prune

    rows = [
        (
            "keep" if d.keep else "forget",
            d.backup.backup_id,
            units.moment(d.backup.created_at),
            d.backup.hostname,
            "; ".join(d.reasons),
        )
        for d in result.decisions
    ]
    out.print(table(("", "BACKUP ID", "TIME", "HOST", "WHY"), rows))
    if result.dry_run:
        out.print(f"{_count(len(result.kept), 'backup')} would stay, {len(result.surplus)} would go")
    else:
        out.print(
            f"{_count(len(result.forgotten), 'backup')} forgotten, {len(result.decisions) - len(result.forgotten)} stay"
        )
    for hold in result.holds:
        show_lines(out, "held", [f"{hold.backup_id}: {sign}" for sign in hold.signs])
    if result.holds:
        out.print("nothing can be forgotten before that is released: davault hold release", soft_wrap=True)
    if result.pruned is not None:
        show_prune(out, result.pruned)
    elif result.forgotten:
        out.print(f"next: davault prune {units.printable(result.config_name)}", soft_wrap=True)


def forget(
    run: Invocation,
    *,
    backup_ids: Annotated[
        list[str], typer.Argument(metavar="BACKUP_ID...", help="As davault list shows them, or snapshot ids' digits.")
    ],
    dry_run: DryRunOption = False,
    yes: YesOption = False,
) -> Reply:
    """Forget backups by name: all of them, or none when one of them must stay.

    What is pinned, the last backup of a configuration, and the last one that was validated cannot be forgotten.
    """
    retention = run.application.retention
    meant = retention.forget(backup_ids, dry_run=True, cancel=run.cancel)
    if not dry_run:
        if not yes:
            show_lines(run.err, "forget", [backup.backup_id for backup in meant])
            _ask(run, f"Forget {_count(len(meant), 'backup')}?")
        with run.long_work():
            meant = retention.forget(backup_ids, cancel=run.cancel)
    ids = [backup.backup_id for backup in meant]

    def show(out: Console) -> None:
        show_lines(out, "would be forgotten" if dry_run else "forgotten", ids)

    return Reply({"dry_run": dry_run, "forgotten": ids}, show)


@command(pins, "add")
def add_pin(
    run: Invocation,
    *,
    backup_id: BackupArgument,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why it must stay.")] = "",
) -> Reply:
    """Keep a backup whatever the rules say. Other machines that use the repository heed it, too."""
    from backup_core.cli import retention_documents

    made = run.application.retention.pins.add(backup_id, reason=reason)
    return Reply({"pin": retention_documents.pin(made)}, lambda out: out.print(f"{made.backup_id} is pinned"))


@command(pins, "remove")
def remove_pin(run: Invocation, *, backup_id: BackupArgument) -> Reply:
    """Let the rules decide about a backup again."""
    gone = run.application.retention.pins.remove(backup_id)
    return Reply({"removed": gone.backup_id}, lambda out: out.print(f"{gone.backup_id} is no longer pinned"))


@command(pins, "list")
def list_pins(
    run: Invocation,
    *,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Only of this configuration (default: all).")
    ] = None,
) -> Reply:
    """List what is pinned, newest pin first."""
    from backup_core.cli import retention_documents

    found = run.application.retention.pins.listed(name)
    return Reply({"pins": [retention_documents.pin(pin) for pin in found]}, lambda out: _show_pins(out, found))


def _show_pins(out: Console, found: Sequence[Pin]) -> None:
    rows = [(pin.backup_id, pin.config_name, units.moment(pin.pinned_at), pin.reason) for pin in found]
    out.print(table(("BACKUP ID", "CONFIGURATION", "SINCE", "WHY"), rows))
    out.print(_count(len(found), "pin"))


@command(holds, "list")
def list_holds(
    run: Invocation,
    *,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Only of this configuration (default: all).")
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="Also those that were released.")] = False,
) -> Reply:
    """List the runs that looked like a disaster. Exit code 3 when one waits for a person."""
    from backup_core.cli import retention_documents

    found = run.application.retention.holds.listed(name, released=all_)
    waiting = any(hold.released_at is None for hold in found)
    return Reply(
        {"holds": [retention_documents.hold(hold) for hold in found]},
        lambda out: _show_holds(out, found),
        ExitCode.PROBLEMS if waiting else ExitCode.OK,
    )


def _show_holds(out: Console, found: Sequence[Hold]) -> None:
    for hold in found:
        rows = [
            ("run", hold.backup_id),
            ("configuration", hold.config_name),
            ("since", units.moment(hold.begun_at)),
            *(("sign", sign) for sign in hold.signs),
            ("last good backup", hold.good_backup_id or "-"),
        ]
        if hold.released_at is not None:
            rows.append(("released", f"{units.moment(hold.released_at)} {hold.note}".strip()))
        out.print(facts(rows))
        out.print()
    out.print(_count(len(found), "hold"))


@command(holds, "release")
def release_hold(
    run: Invocation,
    *,
    name: Annotated[
        str, typer.Argument(metavar="NAME|BACKUP_ID", help="A configuration, or the backup that looked wrong.")
    ],
    note: Annotated[str, typer.Option("--note", metavar="TEXT", help="What was found.")] = "",
    keep_pin: Annotated[bool, typer.Option("--keep-pin", help="Leave the last good backup pinned.")] = False,
) -> Reply:
    """Say that a run which looked like a disaster was none: cleanups go on, and such a run counts as ordinary."""
    from backup_core.cli import retention_documents

    freed = run.application.retention.holds.release(name, note=note, keep_pins=keep_pin)

    def show(out: Console) -> None:
        show_lines(out, "released", [hold.backup_id for hold in freed])

    return Reply({"released": [retention_documents.hold(hold) for hold in freed]}, show)


def _count(number: int, noun: str) -> str:
    return f"{units.number(number)} {noun}" if number == 1 else f"{units.number(number)} {noun}s"
