"""``davault restore-set``: several configurations as of one time, in one act."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backup_core.cli import units
from backup_core.cli.backup_commands import exit_code_of_outcome
from backup_core.cli.exits import ExitCode
from backup_core.cli.frame import Invocation, UsageError, command
from backup_core.cli.output import Reply, show_lines, table
from backup_core.cli.restoring.options import AtOption, Manner, Selected, moment_of
from backup_core.deferred import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from backup_core.services.recovery_records import RestorePreview
    from backup_core.services.restoring.consistent_set import ConsistentSet, MemberResult


def register(app: typer.Typer) -> None:
    """Add this command to ``app``."""
    command(app, "restore-set")(restore_set)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Members:
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="The configurations, in the order of their return.")
    ] = None
    all_: Annotated[bool, typer.Option("--all", help="All configurations.")] = False
    max_skew: Annotated[
        str | None, typer.Option("--max-skew", metavar="D", help="Refuse backups that lie further apart, such as 30m.")
    ] = None


def restore_set(
    run: Invocation,
    *,
    members: _Members,
    target: Annotated[Path, typer.Option("--target", metavar="DIR", help="Each goes into a directory of its name.")],
    at: AtOption = None,
    selected: Selected,
    manner: Manner,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done; change nothing.")] = False,
) -> Reply:
    """Restore several configurations as of one time, in one act.

    For each the newest backup at or before the time is taken (now, without --at), and how far these lie apart is shown.
    Nothing is restored when any has no such backup.
    """
    if bool(members.names) == members.all_:
        raise UsageError("name the configurations, or say --all")
    library = run.application.recovery.sets
    names = members.names or [config.name for config in run.application.list_configs()]
    with run.long_work() as progress:
        chosen = library.choose(
            names,
            target=target.expanduser().absolute(),
            most_skew=_skew(members.max_skew),
            at=moment_of(at),
            verify=manner.verify,
            **selected.choice(),
            **manner.choice(),
        )
        if dry_run:
            previews = library.preview(chosen, cancel=run.cancel, progress=progress)
            return Reply(_planned(chosen, previews), lambda out: _show_plan(out, chosen, previews))
        results = library.run(chosen, cancel=run.cancel, progress=progress)
    return Reply(_done(chosen, results), lambda out: _show(out, chosen, results), _code(results))


def _skew(text: str | None) -> timedelta | None:
    from backup_core.config.durations import parse_duration

    try:
        return None if text is None else timedelta(seconds=parse_duration(text))
    except ValueError as error:
        raise UsageError(f"--max-skew: {error}") from error


def _code(results: Sequence[MemberResult]) -> ExitCode:
    codes = [ExitCode.FAILED if r.summary is None else exit_code_of_outcome(r.summary.outcome) for r in results]
    return next((c for c in (ExitCode.CANCELLED, ExitCode.FAILED, ExitCode.PROBLEMS) if c in codes), ExitCode.OK)


def _head(chosen: ConsistentSet, *, dry_run: bool) -> dict[str, object]:
    return {
        "dry_run": dry_run,
        "at": units.timestamp(chosen.at),
        "oldest": units.timestamp(chosen.oldest),
        "newest": units.timestamp(chosen.newest),
        "skew": chosen.skew.total_seconds(),
    }


def _planned(chosen: ConsistentSet, previews: Sequence[RestorePreview]) -> dict[str, object]:
    from backup_core.cli import documents

    return {
        **_head(chosen, dry_run=True),
        "members": [
            {
                "config_name": request.backup.config_name,
                "distance": chosen.distance(request).total_seconds(),
                **documents.restore_preview(preview),
            }
            for request, preview in zip(chosen.requests, previews, strict=True)
        ],
    }


def _done(chosen: ConsistentSet, results: Sequence[MemberResult]) -> dict[str, object]:
    from backup_core.cli import documents

    return {
        **_head(chosen, dry_run=False),
        "members": [
            {
                "config_name": r.request.backup.config_name,
                "distance": chosen.distance(r.request).total_seconds(),
                "error": r.error,
                **({} if r.summary is None else documents.restore(r.summary)),
            }
            for r in results
        ],
    }


def _show_skew(out: Console, chosen: ConsistentSet) -> None:
    out.print(f"as of {units.moment(chosen.at)}; the backups lie {units.duration(chosen.skew.total_seconds())} apart")


def _show_plan(out: Console, chosen: ConsistentSet, previews: Sequence[RestorePreview]) -> None:
    rows = [
        (
            request.backup.config_name,
            request.backup.backup_id,
            units.moment(request.backup.created_at),
            units.duration(chosen.distance(request).total_seconds()),
            units.number(preview.creates),
            units.number(preview.replaces),
            units.number(preview.deletes),
            units.size(preview.bytes_to_download),
        )
        for request, preview in zip(chosen.requests, previews, strict=True)
    ]
    columns = ("CONFIGURATION", "BACKUP ID", "TIME", "BEFORE", "CREATES", "REPLACES", "DELETES", "DOWNLOAD")
    out.print(table(columns, rows, right=columns[3:]))
    _show_skew(out, chosen)
    show_lines(out, "note", [note for preview in previews for note in preview.notes])
    out.print("dry run: nothing was changed")


def _show(out: Console, chosen: ConsistentSet, results: Sequence[MemberResult]) -> None:
    rows = []
    for r in results:
        done = r.summary
        rows.append(
            (
                r.request.backup.config_name,
                r.request.backup.backup_id,
                units.moment(r.request.backup.created_at),
                units.duration(chosen.distance(r.request).total_seconds()),
                "not restored" if done is None else done.outcome.value,
                "-" if done is None else units.number(done.files_restored + done.files_unchanged),
                "-" if done is None else units.number(len(done.failed)),
            )
        )
    columns = ("CONFIGURATION", "BACKUP ID", "TIME", "BEFORE", "OUTCOME", "FILES", "FAILED")
    out.print(table(columns, rows, right=("BEFORE", "FILES", "FAILED")))
    _show_skew(out, chosen)
    show_lines(out, "error", [f"{r.request.backup.config_name}: {r.error}" for r in results if r.error])
    for r in results:
        if r.summary is not None:
            show_lines(out, "failed", [f"{path}: {reason}" for path, reason in r.summary.failed.items()])
