"""The options by which one command is held to another bandwidth than its clients say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from backup_core.deferred import dataclass

if TYPE_CHECKING:
    from backup_core.services.application import Application

_PANEL = "Bandwidth"


@dataclass(frozen=True, slots=True, kw_only=True)
class BandwidthOptions:
    """Limits for this run."""

    limit_upload: Annotated[
        str | None,
        typer.Option(
            "--limit-upload",
            metavar="RATE",
            help="Bytes a second: 2M, unlimited, or 08:00-18:00=2M,else=unlimited (default: as the client says).",
            rich_help_panel=_PANEL,
        ),
    ] = None
    limit_download: Annotated[
        str | None,
        typer.Option("--limit-download", metavar="RATE", help="The same for downloads.", rich_help_panel=_PANEL),
    ] = None

    def apply(self, application: Application) -> None:
        """Hold all connections of this process to the limits. Raises ``ConfigError`` for text that is none."""
        if self.limit_upload is not None or self.limit_download is not None:
            application.accounts.limit_bandwidth(upload=self.limit_upload, download=self.limit_download)
