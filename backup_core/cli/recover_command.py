"""``davault recover`` and ``davault vanished``: rebuilding a home from the server, and what is missing on it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backup_core.cli import units
from backup_core.cli.exits import ExitCode
from backup_core.cli.frame import Invocation, UsageError, command
from backup_core.cli.output import Reply, facts, show_lines, table
from backup_core.cli.passwords import ask_password, secret_reference
from backup_core.deferred import dataclass

if TYPE_CHECKING:
    from rich.console import Console

    from backup_core.catalogue.evidence_rows import GoneSnapshotRow
    from backup_core.config.models import ClientConfig
    from backup_core.services.home_recovery.wishes import GivenKey, RecoveredEntry, RecoveryReport

_UNNAMED = "recovered"
"""Name of a client of which no record tells a better one."""


def register(app: typer.Typer) -> None:
    """Add these commands to ``app``."""
    command(app, "recover")(recover)
    command(app, "vanished")(vanished)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    url: Annotated[
        str, typer.Option("--url", metavar="URL", help="WebDAV address (https://…), or file:///path for a directory.")
    ]
    path: Annotated[
        str, typer.Option("--path", metavar="P", help="Folder below it: a repository, or one that holds several.")
    ]
    username: Annotated[str, typer.Option("--username", metavar="U", help="The account's user name.")] = ""
    password_env: Annotated[
        str | None, typer.Option("--password-env", metavar="VAR", help="Take the password from this variable.")
    ] = None
    password_file: Annotated[
        Path | None, typer.Option("--password-file", metavar="F", help="Take the password from this file's first line.")
    ] = None
    service_type: Annotated[
        str | None, typer.Option("--service-type", metavar="T", help="The provider, as for davault client add.")
    ] = None
    ca_bundle: Annotated[
        Path | None, typer.Option("--ca-bundle", metavar="F", help="Trust these certificate authorities instead.")
    ] = None
    no_verify: Annotated[bool, typer.Option("--no-verify", help="Do not check the server's certificate.")] = False
    allow_insecure: Annotated[
        bool, typer.Option("--allow-insecure", help="Allow plain http to other machines, and --no-verify.")
    ] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Keys:
    key_env: Annotated[
        list[str] | None, typer.Option("--key-env", metavar="VAR", help="Try the key of this variable; repeatable.")
    ] = None
    key_file: Annotated[
        list[Path] | None, typer.Option("--key-file", metavar="F", help="Try this file's first line; repeatable.")
    ] = None


def recover(
    run: Invocation,
    *,
    place: _Place,
    keys: _Keys,
    host: Annotated[str, typer.Option("--host", metavar="NAME", help="Only what this machine has recorded.")] = "",
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace clients and configurations that exist under the same names.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be brought back; change nothing.")] = False,
) -> Reply:
    """Rebuild clients, configurations, backups, history and recovery plans from a server alone.

    Needs nothing but the address, the account and the key. Without --key-env and --key-file the key is that of
    $DAVAULT_KEY, or asked for and then kept in a file of the home. What exists here already is not overwritten.
    """
    from backup_core.services.home_recovery.wishes import RecoveryWish

    account, asked = _account(place)
    wish = RecoveryWish(
        account=account, path=place.path, keys=_given_keys(keys), host=host, replace=replace, dry_run=dry_run
    )
    with run.long_work():
        report = run.application.home_recovery.recover(wish, cancel=run.cancel)
    if asked and not dry_run:
        _remember(run, account, report)
    code = ExitCode.DAMAGE if report.vanished else ExitCode.OK if report.complete else ExitCode.PROBLEMS
    return Reply(_document(report), lambda out: _show(out, report), code)


def _account(place: _Place) -> tuple[ClientConfig, bool]:
    """The account, and whether its password was asked for."""
    from backup_core.config.models import ClientConfig

    reference = secret_reference(place.password_env, place.password_file, "--password-env", "--password-file")
    fields: dict[str, Any] = {"name": _UNNAMED, "url": place.url, "password": reference}
    asked = reference is None and bool(place.username)
    if asked:
        question = f"Password of {place.username} at {place.url}"
        fields["password"] = ask_password(question, "--password-env or --password-file")
    if place.username:
        fields["username"] = place.username
    if place.service_type is not None:
        fields["service_type"] = place.service_type
    if place.ca_bundle is not None:
        fields["ca_bundle"] = str(place.ca_bundle.expanduser().absolute())
    if place.no_verify:
        fields["verify"] = False
    if place.allow_insecure:
        fields["allow_insecure"] = True
    return ClientConfig.model_validate(fields), asked


def _given_keys(keys: _Keys) -> tuple[GivenKey, ...]:
    import os
    import sys

    from backup_core.config.secrets import resolve_secret
    from backup_core.services.home_recovery.wishes import GivenKey
    from backup_core.services.keys import KEY_VARIABLE
    from backup_core.types import Secret

    references = [f"env:{name}" for name in keys.key_env or ()]
    references += [f"file:{path.expanduser().absolute()}" for path in keys.key_file or ()]
    found = [GivenKey(resolve_secret(r, what="the key"), r, r) for r in references]
    if not found and os.environ.get(KEY_VARIABLE):
        found = [GivenKey(Secret(os.environ[KEY_VARIABLE]), "", f"env:{KEY_VARIABLE}")]
    if not found and sys.stdin.isatty():
        asked = ask_password("Key of the repository (empty when it is not encrypted)", "--key-env or --key-file")
        found = [GivenKey(asked, None, "the terminal")] if asked else []
    return tuple(found)


def _remember(run: Invocation, account: ClientConfig, report: RecoveryReport) -> None:
    from backup_core.services.home_recovery.wishes import Change
    from backup_core.types import Secret

    for entry in report.clients:
        if entry.change in (Change.ADDED, Change.REPLACED) and isinstance(account.password, Secret):
            run.application.add_client(run.application.get_client(entry.name), password=account.password, replace=True)


def _entry(entry: RecoveredEntry) -> dict[str, object]:
    return {"name": entry.name, "change": entry.change.value, "source": entry.source, "notes": list(entry.notes)}


def _document(report: RecoveryReport) -> dict[str, object]:
    return {
        "dry_run": report.dry_run,
        "clients": [_entry(client) for client in report.clients],
        "repositories": [
            {
                "path": r.path,
                "location": r.location,
                "repository_id": r.repository_id,
                "encrypted": r.encrypted,
                "backups": r.backups,
                "records": list(r.records),
                "configurations": [_entry(c) for c in r.configurations],
                "error": r.error,
            }
            for r in report.repositories
        ],
        "rows": dict(report.rows),
        "vanished": list(report.vanished),
        "notes": list(report.notes),
    }


def _show(out: Console, report: RecoveryReport) -> None:
    head = "would recover" if report.dry_run else "recovered"
    for repository in report.repositories:
        rows = [("repository", repository.location)]
        if repository.error:
            out.print(facts([*rows, ("error", repository.error)]))
            continue
        rows += [
            ("encryption", units.encryption(repository.encrypted)),
            ("backups", units.number(repository.backups)),
            ("records of", "; ".join(repository.records) or "nobody: made from what the backups tell"),
        ]
        out.print(facts(rows))
        cells = [(c.name, c.change.value, c.source, "; ".join(c.notes) or "-") for c in repository.configurations]
        out.print(table(("CONFIGURATION", "CHANGE", "FROM", "NOTES"), cells))
    out.print(f"clients: {', '.join(f'{c.name} ({c.change.value})' for c in report.clients) or 'none'}")
    counted = ", ".join(f"{units.number(n)} {area.replace('_', ' ')}" for area, n in report.rows.items() if n)
    out.print(f"{head}: {counted or 'no history'}")
    show_lines(out, "note", report.notes)
    show_lines(out, "VANISHED", report.vanished)
    names = [c.name for r in report.repositories for c in r.configurations]
    if names and not report.dry_run:
        out.print(units.printable(f"next: davault list; davault restore {shlex.quote(names[0])} --target DIR"))


def vanished(
    run: Invocation,
    *,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Only this configuration (default: all).")
    ] = None,
    accept: Annotated[
        list[str] | None,
        typer.Option("--accept", metavar="BACKUP_ID", help="Say that this one is rightly gone; repeatable."),
    ] = None,
) -> Reply:
    """List backups that were on the server and are gone, although nobody recorded forgetting them.

    Whoever has the account's password can delete backups; this tells that somebody did. Ends with exit code 4 as long
    as there are any.
    """
    if accept and name is not None:
        raise UsageError("--accept names backups; it makes no sense with a configuration")
    accepted = run.application.vanished.accept(accept) if accept else []
    left = run.application.vanished.listed(name)
    document = {"accepted": [_gone(row) for row in accepted], "vanished": [_gone(row) for row in left]}

    def show(out: Console) -> None:
        rows = [(r.backup_id, r.snapshot_id[:8], units.moment(r.created_at), units.moment(r.at)) for r in left]
        out.print(table(("BACKUP ID", "SNAPSHOT", "MADE", "MISSED SINCE"), rows))
        out.print(f"{len(accepted)} accepted, {len(left)} vanished" if accepted else f"{len(left)} vanished")

    return Reply(document, show, ExitCode.DAMAGE if left else ExitCode.OK)


def _gone(row: GoneSnapshotRow) -> dict[str, object]:
    return {
        "backup_id": row.backup_id,
        "snapshot_id": row.snapshot_id,
        "config_name": row.configuration,
        "created_at": units.timestamp(row.created_at),
        "noticed_at": units.timestamp(row.at),
    }
