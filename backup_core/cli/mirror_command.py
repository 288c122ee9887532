"""``davault mirror``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backup_core.cli import units
from backup_core.cli.exits import ExitCode
from backup_core.cli.frame import Invocation, UsageError, command
from backup_core.cli.output import Reply, facts, show_lines, show_problems
from backup_core.cli.passwords import secret_reference
from backup_core.deferred import dataclass
from backup_core.results import Outcome

if TYPE_CHECKING:
    from rich.console import Console

    from backup_core.services.mirroring.result import MirrorResult


def register(app: typer.Typer) -> None:
    """Add this command to ``app``."""
    command(app, "mirror", opens="name")(mirror)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    to: Annotated[
        str | None, typer.Option("--to", metavar="CLIENT", help="Only the mirror at this client; made if need be.")
    ] = None
    path: Annotated[
        str | None, typer.Option("--path", metavar="P", help="Its folder there (default: the configuration's own).")
    ] = None
    key_env: Annotated[
        str | None, typer.Option("--key-env", metavar="VAR", help="A key of its own for a new mirror: this variable.")
    ] = None
    key_file: Annotated[
        Path | None, typer.Option("--key-file", metavar="F", help="A key of its own: this file's first line.")
    ] = None


def mirror(
    run: Invocation,
    *,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The configuration's name.")],
    place: _Place,
    snapshots: Annotated[
        list[str] | None, typer.Option("--snapshots", metavar="BACKUP_ID", help="Only this backup; repeatable.")
    ] = None,
    all_: Annotated[
        bool, typer.Option("--all", help="Everything in the repository, other configurations' backups, too.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Look first whether the mirror has lost anything, and send that again.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be copied; change nothing.")] = False,
    forget: Annotated[
        bool, typer.Option("--forget", help="Use the mirror at --to no more; nothing there is deleted.")
    ] = False,
) -> Reply:
    """Copy backups to a second place.

    The copies come from the first repository, not from the source. A mirror is a repository of its own, and remembered:
    without --to all mirrors of the configuration are brought up to date, and a restore takes from them what the first
    place cannot give. Ctrl+C stops cleanly: the next run carries on.
    """
    from backup_core.cli import mirror_documents

    if forget:
        return _forget(run, name, place)
    if snapshots and all_:
        raise UsageError("--snapshots and --all exclude each other")
    key = secret_reference(place.key_env, place.key_file, "--key-env", "--key-file")
    if place.to is None and (place.path is not None or key is not None):
        raise UsageError("--path, --key-env and --key-file belong to one mirror: say --to CLIENT")
    with run.long_work() as progress:
        results = run.application.mirroring.run(
            name,
            to=place.to,
            path=place.path,
            key=key,
            backup_ids=tuple(snapshots or ()),
            everything=all_,
            check=check,
            dry_run=dry_run,
            cancel=run.cancel,
            progress=progress,
        )
    document = {"config": name, "dry_run": dry_run, "mirrors": [mirror_documents.mirrored(r) for r in results]}
    return Reply(document, lambda out: _show(out, results), _exit_code(results))


def _forget(run: Invocation, name: str, place: _Place) -> Reply:
    if place.to is None:
        raise UsageError("say which mirror: --to CLIENT")
    gone = run.application.mirroring.forget(name, place.to, place.path)
    document = {"config": name, "forgotten": {"client": gone.client, "path": gone.path}}
    return Reply(document, lambda out: out.print(f"the mirror {units.printable(gone.shown)} is used no more"))


def _exit_code(results: Sequence[MirrorResult]) -> ExitCode:
    if any(result.left_out for result in results):
        return ExitCode.DAMAGE
    if all(result.outcome is Outcome.COMPLETED for result in results):
        return ExitCode.OK
    unreached = all(result.error for result in results)
    return ExitCode.STORAGE if unreached else ExitCode.PROBLEMS


def _show(out: Console, results: Sequence[MirrorResult]) -> None:
    for number, result in enumerate(results):
        if number:
            out.print()
        _show_one(out, result)


def _show_one(out: Console, result: MirrorResult) -> None:
    number, would = units.number, "would be " if result.dry_run else ""
    rows = [("mirror", f"{result.client}:{result.path}"), ("outcome", result.outcome.value)]
    if result.error:
        out.print(facts(rows))
        show_lines(out, "error", [result.error])
        return
    rows += [
        ("repository", f"{'would be ' if result.dry_run else ''}made" if result.created else result.location),
        (f"backups {would}copied", number(len(result.copied))),
        ("backups there before", number(result.already_there)),
        (f"{would}sent", f"{units.size(result.bytes_written)}, {number(result.blobs)} blobs"),
    ]
    if result.dry_run:
        rows.append(("requests it would take", f"about {number(result.planned_requests)}"))
    else:
        rows.append(("read", units.size(result.bytes_read)))
    rows += [("requests", number(sum(result.requests.values()))), ("time", units.duration(result.seconds))]
    out.print(facts(rows))
    show_lines(out, "note", result.notes)
    show_problems(out, result.problems)
    if result.dry_run:
        out.print("nothing was changed")
