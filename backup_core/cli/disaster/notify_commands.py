"""``davault notify``: the mail server and the channels by which people are told."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backup_core.cli import units
from backup_core.cli.disaster.group import manager
from backup_core.cli.exits import ExitCode
from backup_core.cli.frame import Invocation, UsageError, command
from backup_core.cli.output import Reply, facts, show_lines
from backup_core.cli.passwords import reference_note, secret_reference
from backup_core.deferred import dataclass

if TYPE_CHECKING:
    from rich.console import Console

    from backup_core.config.notifications import NotificationSettings

group = typer.Typer(name="notify", help="How people are told of recoveries, drills and alerts.", no_args_is_help=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Limits:
    """When people are alerted."""

    storage_budget: Annotated[
        str | None, typer.Option("--storage-budget", metavar="SIZE", help="What all backups may take: 100G; none.")
    ] = None
    no_backup_for: Annotated[
        str | None, typer.Option("--no-backup-for", metavar="TIME", help="Age of a newest backup that alerts: 48h.")
    ] = None
    drill_due: Annotated[
        str | None, typer.Option("--drill-due", metavar="TIME", help="Time after which a drill is missed: 40d.")
    ] = None
    remind_after: Annotated[
        str | None, typer.Option("--remind-after", metavar="TIME", help="Time after which an alert is told again: 1d.")
    ] = None

    def changes(self) -> dict[str, object]:
        """The fields that were given."""
        given = {
            "storage_budget": self.storage_budget,
            "no_backup_for": self.no_backup_for,
            "drill_due": self.drill_due,
            "remind_after": self.remind_after,
        }
        return {key: None if value == "none" else value for key, value in given.items() if value is not None}


@command(group, "set")
def set_(
    run: Invocation,
    *,
    host: Annotated[str | None, typer.Option("--smtp-host", metavar="HOST", help="The mail server.")] = None,
    port: Annotated[
        int | None, typer.Option("--smtp-port", metavar="N", help="Its port (587, with tls 465, with none 25).")
    ] = None,
    security: Annotated[
        str | None, typer.Option("--smtp-security", metavar="starttls|tls|none", help="How it is spoken to.")
    ] = None,
    username: Annotated[str | None, typer.Option("--username", metavar="U", help="The account there.")] = None,
    password_env: Annotated[
        str | None, typer.Option("--password-env", metavar="VAR", help="Take its password from this variable.")
    ] = None,
    password_file: Annotated[
        Path | None, typer.Option("--password-file", metavar="F", help="Take its password from this file.")
    ] = None,
    sender: Annotated[str | None, typer.Option("--sender", metavar="ADDRESS", help="Where mail comes from.")] = None,
    recipient: Annotated[
        list[str] | None, typer.Option("--recipient", metavar="ADDRESS", help="Told of everything; repeatable.")
    ] = None,
    channel: Annotated[
        list[str] | None,
        typer.Option("--channel", metavar="REFERENCE", help="env:NAME or file:PATH of an Apprise URL; repeatable."),
    ] = None,
    limits: _Limits,
    reset: Annotated[bool, typer.Option("--reset", help="Forget what was set before.")] = False,
) -> Reply:
    """Set the mail server, the channels, and when people are alerted: only what is given changes.

    Apprise URLs hold passwords, so only references to them are kept.
    """
    from backup_core.config.notifications import NotificationSettings

    notices = manager(run).notices
    reference = secret_reference(password_env, password_file, "--password-env", "--password-file")
    given = {
        "smtp_host": host,
        "smtp_port": port,
        "smtp_security": security,
        "smtp_username": username,
        "smtp_password": reference,
        "sender": sender,
        "recipients": recipient,
        "channels": channel,
    }
    changes = {key: value for key, value in given.items() if value is not None} | limits.changes()
    if not changes and not reset:
        raise UsageError("nothing to set was given")
    before = {} if reset else notices.settings.record()
    settings = NotificationSettings.model_validate({**before, **changes})
    notices.keep(settings)
    return _told(settings, reference_note(reference))


@command(group, "show")
def show_(run: Invocation) -> Reply:
    """Show the settings."""
    return _told(manager(run).notices.settings, [])


@command(group, "test")
def test(run: Invocation) -> Reply:
    """Tell everybody that this is a test; exit code 6 when something could not be delivered."""
    from backup_core.services.notices import Notice

    failed = manager(run).notices.send(Notice("Davault: a test", "This is a test of Davault's notifications.\n"))

    def show(out: Console) -> None:
        show_lines(out, "not delivered", failed)
        if not failed:
            out.print("everything was delivered")

    return Reply({"delivered": not failed, "failed": failed}, show, ExitCode.STORAGE if failed else ExitCode.OK)


def _told(settings: NotificationSettings, notes: list[str]) -> Reply:
    from backup_core.config.durations import duration_text

    record = settings.record()
    record["password_source"] = record.pop("smtp_password")

    def show(out: Console) -> None:
        server = f"{settings.smtp_host}:{settings.port} ({settings.smtp_security})" if settings.smtp_host else "none"
        rows = [
            ("mail server", server),
            ("account", settings.smtp_username or "-"),
            ("password from", settings.smtp_password or "-"),
            ("sender", settings.from_address if settings.smtp_host else "-"),
            ("recipients", ", ".join(settings.recipients) or "-"),
            ("channels", ", ".join(settings.channels) or "-"),
            ("storage budget", "-" if settings.storage_budget is None else units.size(settings.storage_budget)),
            ("no backup for", duration_text(settings.no_backup_for)),
            ("drills due after", duration_text(settings.drill_due)),
            ("told again after", duration_text(settings.remind_after)),
        ]
        out.print(facts(rows))
        show_lines(out, "note", notes)

    return Reply({"notifications": record, "notes": notes}, show)
