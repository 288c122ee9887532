"""``davault browse``: a backup in the file manager."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from backup_core.cli import collector
from backup_core.cli.frame import Invocation, UsageError, command
from backup_core.cli.output import Reply, facts, write_json
from backup_core.errors import Cancelled

_A_DAY = 86400.0


def register(app: typer.Typer) -> None:
    """Add this command to ``app``."""
    command(app, "browse", opens="config")(browse)


def browse(
    run: Invocation,
    *,
    backup_id: Annotated[
        str | None, typer.Argument(metavar="[BACKUP_ID]", help="As davault list shows it, or a snapshot id's digits.")
    ] = None,
    config: Annotated[
        str | None, typer.Option("--config", metavar="NAME", help="The newest backup of this configuration.")
    ] = None,
    port: Annotated[int, typer.Option("--port", metavar="N", help="Listen here (default: any free port).")] = 0,
) -> Reply:
    """Look into a backup with any file manager, without restoring it.

    Starts a WebDAV server on this machine that shows the backup, read-only, and fetches only what is opened. Nobody
    else can reach it: it listens on loopback, behind a random address. Ctrl+C ends it.
    """
    from backup_core.cli.interrupt import interruptible

    if (backup_id is None) == (config is None):
        raise UsageError("say which backup: a BACKUP_ID, or --config NAME")
    browser = run.application.recovery.browser
    with (
        interruptible(run.cancel, say=lambda _: None),
        browser.serving(config_name=config, backup_id=backup_id, port=port, cancel=run.cancel) as serving,
    ):
        collector.as_usual()
        document: dict[str, object] = {"backup_id": serving.backup_id, "url": serving.url}
        if run.settings.json_output:
            write_json(document, sys.stdout)
        else:
            dav = serving.url.replace("http://", "dav://", 1)
            rows = [
                ("backup", serving.backup_id),
                ("address", serving.url),
                ("file manager", f"{dav} (GNOME, KDE: webdav://…; macOS: Go, Connect to Server, the address)"),
                ("stop", "Ctrl+C"),
            ]
            run.out.print(facts(rows))
            sys.stdout.flush()
        try:
            while True:
                run.clock.sleep(_A_DAY, run.cancel)
        except Cancelled:
            return Reply(document, lambda _: None, told=True)
