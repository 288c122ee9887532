"""``davault restore``."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backup_core.cli import units
from backup_core.cli.backup_commands import exit_code_of_outcome
from backup_core.cli.bandwidth_options import BandwidthOptions
from backup_core.cli.frame import Invocation, UsageError, command
from backup_core.cli.output import Reply, facts, show_lines, show_problems
from backup_core.cli.restoring.dump_command import write_file
from backup_core.cli.restoring.options import (
    AtOption,
    BackupOption,
    Manner,
    NameArgument,
    Selected,
    checked_moment,
    distance,
    distance_text,
)
from backup_core.deferred import dataclass
from backup_core.results import RestoreSummary

if TYPE_CHECKING:
    from rich.console import Console

    from backup_core.services.recovery_records import RestorePreview

_SHOWN_CHANGES = 20


def register(app: typer.Typer) -> None:
    """Add this command to ``app``."""
    command(app, "restore", opens="name")(restore)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Destination:
    target: Annotated[
        Path | None, typer.Option("--target", metavar="DIR", help="Where to restore to; made when missing.")
    ] = None
    in_place: Annotated[
        bool, typer.Option("--in-place", help="To where everything was; shows what would change, and asks.")
    ] = False
    stdout: Annotated[
        str | None, typer.Option("--stdout", metavar="PATH", help="This one file, to standard output.")
    ] = None

    def check(self) -> None:
        """Raises ``UsageError`` unless exactly one is given."""
        if (self.target is not None) + self.in_place + (self.stdout is not None) != 1:
            raise UsageError("say where to: --target DIR, --in-place, or --stdout PATH")


def restore(
    run: Invocation,
    *,
    destination: _Destination,
    name: NameArgument = None,
    backup: BackupOption = None,
    at: AtOption = None,
    selected: Selected,
    manner: Manner,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done; change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Change what is in place without asking.")] = False,
    bandwidth: BandwidthOptions,
) -> Reply:
    """Restore files.

    Each source of the backup is restored under its own name below the target: /home/me/docs becomes DIR/docs. Content
    is verified while it is written, and nothing is ever written outside the target.
    """
    destination.check()
    bandwidth.apply(run.application)
    moment = checked_moment(name, backup, at)
    if destination.stdout is not None:
        if dry_run or selected != Selected() or manner != Manner():
            raise UsageError("--stdout takes one file as it is: no patterns, policies or dry runs")
        return write_file(run, destination.stdout, name=name, backup=backup, at=moment)
    if dry_run and manner.verify:
        raise UsageError("--verify has nothing to read in a --dry-run")
    choice: dict[str, Any] = {
        "config_name": name,
        "backup_id": backup,
        "at": moment,
        "target": destination.target,
        **selected.choice(),
        **manner.choice(),
    }
    if dry_run:
        return _plan(run, choice)
    if destination.in_place and not yes and not _confirmed(run, choice):
        raise typer.Abort
    return _restore(run, choice, verify=manner.verify)


def _confirmed(run: Invocation, choice: dict[str, Any]) -> bool:
    """Show what would change, and ask whether it shall."""
    if not sys.stdin.isatty():
        raise UsageError("--in-place asks before it changes anything, and there is no terminal; --yes or --dry-run")
    with run.long_work() as progress:
        preview = run.application.plan_restore(**choice, cancel=run.cancel, progress=progress)
    _show_plan(run.err, preview, choice["at"], head="planned")
    return bool(typer.confirm("Change it?", err=True))


def _plan(run: Invocation, choice: dict[str, Any]) -> Reply:
    from backup_core.cli import documents

    with run.long_work() as progress:
        preview = run.application.plan_restore(**choice, cancel=run.cancel, progress=progress)
    document = documents.restore_preview(preview) | _asked(preview.created_at, choice["at"])
    return Reply(document, lambda out: _show_plan(out, preview, choice["at"]))


def _asked(backup_time: datetime | None, asked_for: datetime | None) -> dict[str, object]:
    """Which time was asked for, and how far the backup is from it."""
    if backup_time is None or asked_for is None:
        return {"at": None, "distance": None}
    return {"at": units.timestamp(asked_for), "distance": distance(backup_time, asked_for).total_seconds()}


def _show_plan(
    out: Console, preview: RestorePreview, at: datetime | None, *, head: str = "dry run: nothing was changed"
) -> None:
    number = units.number
    rows = [
        ("backup", f"{preview.backup_id} {distance_text(preview.created_at, at)} ({head})"),
        ("target", preview.target),
        ("would create", number(preview.creates)),
        ("would replace", number(preview.replaces)),
        ("would keep", number(preview.keeps)),
        ("would delete", number(preview.deletes)),
        ("would write", units.size(preview.bytes_to_write)),
        ("would download", f"{units.size(preview.bytes_to_download)} from {number(preview.packs)} packs"),
        ("room", f"{units.size(preview.space_needed)} needed, {units.size(preview.space_free)} free"),
    ]
    out.print(facts(rows))
    for action, path in preview.changes[:_SHOWN_CHANGES]:
        out.print(units.printable(f"  {action}  {path}"), soft_wrap=True)
    changes = preview.creates + preview.replaces + preview.deletes
    if changes > _SHOWN_CHANGES:
        out.print(f"  … {number(changes - _SHOWN_CHANGES)} more")
    show_lines(out, "note", preview.notes)


def _restore(run: Invocation, choice: dict[str, Any], *, verify: bool) -> Reply:
    from backup_core.cli import documents

    with run.long_work() as progress:
        summary = run.application.restore(**choice, verify=verify, cancel=run.cancel, progress=progress)
    document = documents.restore(summary) | _asked(summary.backup_time, choice["at"])
    code = exit_code_of_outcome(summary.outcome)
    return Reply(document, lambda out: _show(out, summary, choice["at"]), code)


def _show(out: Console, summary: RestoreSummary, at: datetime | None) -> None:
    number = units.number
    rows = [
        ("backup", f"{summary.backup_id} {distance_text(summary.backup_time, at)}".rstrip()),
        ("target", summary.target),
        ("outcome", summary.outcome.value),
        (
            "files",
            f"{number(summary.files_restored)} restored, {number(summary.files_unchanged)} already there, "
            f"{number(len(summary.failed))} failed, of {number(summary.files_total)}",
        ),
        ("size", units.size(summary.bytes_restored)),
        ("downloaded", units.size(summary.bytes_downloaded)),
        ("requests", number(sum(summary.requests.values()))),
        ("time", units.duration(summary.seconds)),
    ]
    if any(problem.kind == "from-mirror" for problem in summary.problems):
        taken = ", ".join(f"{number(blobs)} blobs from {copy}" for copy, blobs in summary.blobs_by_copy.items())
        rows.append(("taken", taken or "nothing had to be fetched"))
    if summary.files_verified:
        rows.insert(4, ("verified", f"{number(summary.files_verified)} files read back from disk"))
    out.print(facts(rows))
    show_lines(out, "failed", [f"{path}: {reason}" for path, reason in summary.failed.items()])
    show_problems(out, [p for p in summary.problems if p.path not in summary.failed])
