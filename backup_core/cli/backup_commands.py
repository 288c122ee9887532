"""``davault init``, ``davault backup`` and ``davault unlock``."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from backup_core.cli import units
from backup_core.cli.bandwidth_options import BandwidthOptions
from backup_core.cli.exits import ExitCode
from backup_core.cli.frame import Invocation, UsageError, command
from backup_core.cli.output import Reply, facts, show_lines, show_problems
from backup_core.results import BackupSummary, Outcome

if TYPE_CHECKING:
    from rich.console import Console

_EXIT_CODES = {
    Outcome.COMPLETED: ExitCode.OK,
    Outcome.COMPLETED_WITH_PROBLEMS: ExitCode.PROBLEMS,
    Outcome.CANCELLED: ExitCode.CANCELLED,
    Outcome.FAILED: ExitCode.FAILED,
}


class BackupType(StrEnum):
    """What ``backup --type`` takes."""

    FULL = "full"
    INCREMENTAL = "incremental"


NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The configuration's name.")]


def register(app: typer.Typer) -> None:
    """Add these commands to ``app``."""
    command(app, "init")(init)
    command(app, "backup", opens="name")(backup)
    command(app, "unlock")(unlock)


def exit_code_of_outcome(outcome: Outcome) -> ExitCode:
    """The exit code that tells how an operation ended."""
    return _EXIT_CODES[outcome]


def init(run: Invocation, *, name: NameArgument) -> Reply:
    """Create the repository of a configuration, where there is none yet."""
    from backup_core.cli import documents

    info = run.application.init_repository(name)

    def show(out: Console) -> None:
        rows = [
            ("repository", info.location),
            ("id", info.repository_id),
            ("encryption", units.encryption(info.encrypted)),
        ]
        if info.key_source:
            rows.append(("key from", info.key_source))
        out.print(facts(rows))
        show_lines(out, "note", run.untold(info.notes))

    return Reply(documents.repository(info), show)


def backup(
    run: Invocation,
    *,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="The configuration's name.")] = None,
    all_: Annotated[bool, typer.Option("--all", help="Back up every configuration, several side by side.")] = False,
    jobs: Annotated[
        int | None, typer.Option("--jobs", metavar="N", min=1, help="With --all: repositories at the same time (4).")
    ] = None,
    type_: Annotated[
        BackupType | None,
        typer.Option("--type", help="full reads every file again (default: what the configuration says)."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be stored; store nothing.")] = False,
    tag: Annotated[
        list[str] | None, typer.Option("--tag", metavar="TAG", help="Mark the backup with this; repeatable.")
    ] = None,
    no_space_check: Annotated[
        bool, typer.Option("--no-space-check", help="Begin even when the server has too little room, as far as known.")
    ] = False,
    bandwidth: BandwidthOptions,
) -> Reply:
    """Back up a configuration, or all of them.

    An incremental backup opens only files that changed since the last one; both kinds store each content once.
    Ctrl+C stops cleanly: the next run reuses what was stored.
    """
    from backup_core.cli import backup_all

    kind: Literal["full", "incremental"] | None = None if type_ is None else type_.value
    if all_ == (name is not None):
        raise UsageError("name a configuration, or give --all")
    if jobs is not None and not all_:
        raise UsageError("--jobs belongs to --all")
    bandwidth.apply(run.application)
    if tag and all_:
        raise UsageError("--tag is for one configuration")
    if no_space_check and all_:
        raise UsageError("--no-space-check is for one configuration")
    if name is None:
        return backup_all.back_up_all(run, kind=kind, dry_run=dry_run, jobs=jobs or backup_all.DEFAULT_JOBS)
    with run.long_work() as progress:
        summary = run.application.backup(
            name,
            kind=kind,
            dry_run=dry_run,
            space_check=not no_space_check,
            tags=tag or (),
            cancel=run.cancel,
            progress=progress,
        )
    return _reply(run, name, summary)


def _reply(run: Invocation, name: str, summary: BackupSummary) -> Reply:
    from backup_core.cli import documents, estimate_command

    document = documents.backup(summary)
    says: tuple[str, ...] = ()
    if summary.planned is not None:
        estimate = run.application.manager.storage_manager.of_rehearsal(name, summary)
        document["planned"] = estimate_command.document(estimate)
        says = estimate.forecast.sentences()
    return Reply(
        document,
        lambda out: _show_backup(out, summary, [*run.untold(summary.notes), *says]),
        exit_code_of_outcome(summary.outcome),
    )


def _show_backup(out: Console, summary: BackupSummary, notes: list[str]) -> None:
    number = units.number
    stored = f"{units.size(summary.stored_size)} in {number(summary.packs)} packs"
    rows = [
        ("backup", f"{summary.backup_id} ({summary.backup_type}{', dry run' if summary.dry_run else ''})"),
        ("outcome", summary.outcome.value),
        ("snapshot", summary.snapshot_id or "-"),
        ("encryption", units.encryption(summary.encrypted)),
        (
            "files",
            f"{number(summary.files)}: {number(summary.files_new)} new, {number(summary.files_changed)} changed, "
            f"{number(summary.files_unchanged)} unchanged",
        ),
        ("size", units.size(summary.total_size)),
        ("new data", f"{'about ' if summary.dry_run else ''}{units.size(summary.data_added)}"),
        ("stored", f"{'about ' if summary.dry_run else ''}{stored}"),
        ("requests", number(sum(summary.requests.values()))),
        ("time", units.duration(summary.seconds)),
    ]
    out.print(facts(rows))
    show_lines(out, "note", notes)
    show_problems(out, summary.problems)


def unlock(
    run: Invocation,
    *,
    name: NameArgument,
    all_: Annotated[
        bool, typer.Option("--all", help="Remove every lock; only right when nothing uses the repository.")
    ] = False,
) -> Reply:
    """Remove the locks that programs which died have left in a repository."""
    removed = run.application.unlock(name, remove_all=all_)

    def show(out: Console) -> None:
        out.print(f"{len(removed)} locks removed" if len(removed) != 1 else "1 lock removed")
        for lock, reason in removed.items():
            out.print(f"{lock[:8]}: {reason}", markup=False)

    return Reply({"config": name, "removed": list(removed), "reasons": removed}, show)
