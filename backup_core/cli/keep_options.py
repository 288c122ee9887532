"""The options that say what to keep, shared by ``cleanup`` and ``config add``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from backup_core.deferred import dataclass

if TYPE_CHECKING:
    from backup_core.services.retention.policy import KeepRules

_PANEL = "What to keep"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepOptions:
    """The field's rules. What any of them keeps stays."""

    keep_last: Annotated[
        int | None, typer.Option("--keep-last", metavar="N", help="The newest N.", rich_help_panel=_PANEL)
    ] = None
    keep_hourly: Annotated[
        int | None,
        typer.Option("--keep-hourly", metavar="N", help="One for each of the last N hours.", rich_help_panel=_PANEL),
    ] = None
    keep_daily: Annotated[
        int | None,
        typer.Option("--keep-daily", metavar="N", help="One for each of the last N days.", rich_help_panel=_PANEL),
    ] = None
    keep_weekly: Annotated[
        int | None,
        typer.Option("--keep-weekly", metavar="N", help="One for each of the last N weeks.", rich_help_panel=_PANEL),
    ] = None
    keep_monthly: Annotated[
        int | None,
        typer.Option("--keep-monthly", metavar="N", help="One for each of the last N months.", rich_help_panel=_PANEL),
    ] = None
    keep_yearly: Annotated[
        int | None,
        typer.Option("--keep-yearly", metavar="N", help="One for each of the last N years.", rich_help_panel=_PANEL),
    ] = None
    keep_within: Annotated[
        str | None,
        typer.Option(
            "--keep-within",
            metavar="SPAN",
            help="All so much older than the newest, such as 30d or 1y6m.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    keep_tag: Annotated[
        list[str] | None,
        typer.Option("--keep-tag", metavar="TAG", help="All with this tag; repeatable.", rich_help_panel=_PANEL),
    ] = None
    keep_at_least: Annotated[
        int | None,
        typer.Option(
            "--keep-at-least",
            metavar="N",
            help="The newest N stay whatever the rules say (default: 1).",
            rich_help_panel=_PANEL,
        ),
    ] = None

    def fields(self) -> dict[str, object]:
        """The options that were given, by the names of the fields of a configuration."""
        values: dict[str, object] = {
            "keep_last": self.keep_last,
            "keep_hourly": self.keep_hourly,
            "keep_daily": self.keep_daily,
            "keep_weekly": self.keep_weekly,
            "keep_monthly": self.keep_monthly,
            "keep_yearly": self.keep_yearly,
            "keep_within": self.keep_within,
            "keep_tags": self.keep_tag,
            "keep_at_least": self.keep_at_least,
        }
        return {name: value for name, value in values.items() if value is not None}

    def rules(self, *, count: int | None, days: int | None, max_versions: int | None) -> KeepRules:
        """The same for a cleanup, together with the rules of the original API."""
        from backup_core.services.retention.policy import KeepRules

        return KeepRules(
            last=self.keep_last,
            hourly=self.keep_hourly,
            daily=self.keep_daily,
            weekly=self.keep_weekly,
            monthly=self.keep_monthly,
            yearly=self.keep_yearly,
            within=self.keep_within,
            tags=tuple(self.keep_tag or ()),
            count=count,
            days=days,
            max_versions=max_versions,
            at_least=self.keep_at_least,
        )
