"""``davault alerts``: what somebody must do something about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from backup_core.cli import units
from backup_core.cli.exits import ExitCode
from backup_core.cli.frame import Invocation, command
from backup_core.cli.output import Reply, show_lines, table

if TYPE_CHECKING:
    from rich.console import Console

    from backup_core.services.alerts.records import Alert, Told


def register(app: typer.Typer) -> None:
    """Add this command to ``app``."""
    command(app, "alerts")(alerts)


def alerts(
    run: Invocation,
    *,
    send: Annotated[
        bool, typer.Option("--send", help="Tell the people and channels of davault notify what is new or well again.")
    ] = False,
) -> Reply:
    """Show what somebody must do something about, by what is known here; no server is asked.

    Backups that are too old, failed runs, damage, holds, too much storage, missed and failed drills, unfinished
    recoveries. Exit code 3 when there is anything, 6 when something could not be delivered.
    """
    from backup_core.services.alerts.alerts import Alerts
    from backup_core.services.alerts.records import Told

    found = Alerts(run.application.manager.backup_service)
    told = found.tell() if send else Told(found.evaluate())
    code = ExitCode.STORAGE if told.undelivered else ExitCode.PROBLEMS if told.alerts else ExitCode.OK
    document = {
        "alerts": [_document(alert) for alert in told.alerts],
        "told": list(told.new),
        "resolved": list(told.resolved),
        "undelivered": list(told.undelivered),
    }
    return Reply(document, lambda out: _show(out, told), code)


def _document(alert: Alert) -> dict[str, object]:
    return {
        "key": alert.key,
        "kind": alert.kind.value,
        "subject": alert.subject,
        "message": alert.message,
        "advice": alert.advice,
        "since": units.timestamp(alert.since),
    }


def _show(out: Console, told: Told) -> None:
    if not told.alerts:
        out.print("nothing to be alarmed about")
    else:
        rows = [(a.kind.value, a.subject or "-", units.moment(a.since), a.message) for a in told.alerts]
        out.print(table(("ALERT", "SUBJECT", "SINCE", "WHAT"), rows))
        show_lines(out, "next", [alert.advice for alert in told.alerts])
    show_lines(out, "told", told.new)
    show_lines(out, "well again", told.resolved)
    show_lines(out, "not delivered", told.undelivered)
