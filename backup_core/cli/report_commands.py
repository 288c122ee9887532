"""``davault usage``, ``davault stats``, ``davault report`` and ``davault metrics``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backup_core.cli import collector, units
from backup_core.cli.exits import ExitCode
from backup_core.cli.frame import Invocation, UsageError, command
from backup_core.cli.output import Reply, facts, show_problems, table

if TYPE_CHECKING:
    from rich.console import Console

    from backup_core.catalogue.backups import KnownSpace
    from backup_core.reports.report import Report
    from backup_core.results import Problem
    from backup_core.services.listings import StorageUsage
    from backup_core.services.reporting.server_bytes import ServerBytes

_TREND_SHOWN = 12
"""Months."""


def register(app: typer.Typer) -> None:
    """Add these commands to ``app``."""
    command(app, "usage")(usage)
    command(app, "stats")(stats)
    command(app, "report")(report)
    command(app, "metrics")(metrics)


def usage(
    run: Invocation,
    *,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Only this configuration (default: all).")
    ] = None,
    refresh: Annotated[
        bool, typer.Option("--refresh", help="Ask the servers how much room is left, instead of what they said last.")
    ] = False,
    measure: Annotated[
        bool, typer.Option("--measure", help="List every file on the server and add up; hundreds of requests.")
    ] = False,
) -> Reply:
    """Show how much room the backups take on their servers, and how much is left."""
    from backup_core.cli import documents, report_documents
    from backup_core.services.at_a_glance import usage_at_a_glance

    problems: list[Problem] = []
    measured: list[ServerBytes] | None = None
    quick = None if refresh or measure else usage_at_a_glance(run.settings.home, name)
    if quick is None:
        reporting = run.application.reporting
        with run.long_work():
            problems = reporting.measure_space() if refresh else []
            measured = reporting.measure_repositories(name, cancel=run.cancel) if measure else None
        if name is not None:
            run.application.get_config(name)
        quick = run.application.manager.storage_manager.get_storage_usage(name), reporting.last_spaces()
    found, spaces = quick
    document = {**report_documents.usage(found, spaces, measured), "problems": documents.problems(problems)}
    return Reply(document, lambda out: _show_usage(out, found, spaces, measured or (), problems))


def _show_usage(
    out: Console,
    found: StorageUsage,
    spaces: Sequence[KnownSpace],
    measured: Sequence[ServerBytes],
    problems: Sequence[Problem],
) -> None:
    rows = [_usage_row(name or "(other programs)", info) for name, info in found.by_config.items()]
    columns = ("CONFIGURATION", "BACKUPS", "FULL", "INCREMENTAL", "LOGICAL", "STORED", "NEWEST")
    out.print(table(columns, rows, right=("BACKUPS", "FULL", "INCREMENTAL", "LOGICAL", "STORED")))
    out.print(
        f"{units.number(found.total_backups)} backups hold {units.size(found.logical_size)} (logical) and take "
        f"{units.size(found.total_size)} on the servers (stored)"
    )
    for space in spaces:
        used = "?" if space.used is None else units.size(space.used)
        free = "?" if space.available is None else units.size(space.available)
        asked = units.moment(space.at.astimezone())
        out.print(units.printable(f"account {space.client}: {used} used in all, {free} free, as of {asked}"))
    for one in measured:
        parts = ", ".join(f"{part} {units.number(count)} bytes" for part, count in one.bytes_by_part.items())
        out.print(units.printable(f"{one.location}: {units.number(one.total)} bytes in all ({parts})"), soft_wrap=True)
        if not one.complete:
            out.print("  the listing may be incomplete, so there may be more")
        if one.known_packs is not None and one.known_packs != one.packs:
            out.print(f"  the catalogue knows of {units.number(one.known_packs)} bytes of data: prune finds the rest")
    show_problems(out, problems)


def _usage_row(name: str, info: Mapping[str, Any]) -> tuple[str, ...]:
    kinds = info["backup_types"]
    return (
        name,
        units.number(info["count"]),
        units.number(kinds["full"]),
        units.number(kinds["incremental"]),
        units.size(info["logical_size"]),
        units.size(info["total_size"]),
        units.moment(info["newest_backup"]),
    )


def stats(
    run: Invocation,
    *,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Only this configuration (default: all).")
    ] = None,
) -> Reply:
    """Show figures about backups and runs, and the storage trend by month."""
    from backup_core.cli import report_documents
    from backup_core.services.at_a_glance import statistics_at_a_glance

    found = statistics_at_a_glance(run.settings.home, name)
    if found is None:
        if name is not None:
            run.application.get_config(name)
        found = run.application.manager.get_statistics(name)

    return Reply(report_documents.plain(found), lambda out: _show_stats(out, found))


def _show_stats(out: Console, found: Mapping[str, Any]) -> None:
    backups, storage = found["backup_stats"], found["storage_usage"]
    kinds = backups["backup_types"]
    out.print(
        facts(
            [
                ("backups", f"{units.number(backups['total_backups'])}: {units.number(kinds['full'])} full, "
                            f"{units.number(kinds['incremental'])} incremental"),
                ("logical", units.size(backups["logical_size"])),
                ("stored", units.size(backups["total_size"])),
                ("oldest", units.moment(storage["oldest_backup"])),
                ("newest", f"{units.moment(storage['newest_backup'])}  {backups['last_backup_id'] or ''}"),
                ("runs", f"{units.number(backups['runs'])}, of which {units.number(backups['failed_runs'])} failed"),
            ]
        )
    )  # fmt: skip
    trend = storage["storage_trend"][-_TREND_SHOWN:]
    if trend:
        out.print()
        rows = [
            (t["month"], units.number(t["count"]), units.size(t["size"]), units.size(t["logical_size"])) for t in trend
        ]
        out.print(table(("MONTH", "BACKUPS", "ADDED", "LOGICAL"), rows, right=("BACKUPS", "ADDED", "LOGICAL")))


def report(
    run: Invocation,
    *,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write it as one HTML file with charts.")
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option("--budget", metavar="SIZE", help="What all backups together may take, such as 500G."),
    ] = None,
    refresh: Annotated[bool, typer.Option("--refresh", help="Ask the servers how much room is left first.")] = False,
) -> Reply:
    """Report on all backups: storage over time, forecast, success, age, load and drills."""
    from backup_core.config.sizes import parse_size

    try:
        limit = None if budget is None else parse_size(budget)
    except ValueError as error:
        raise UsageError(str(error)) from None
    reporting = run.application.reporting
    with run.long_work():
        problems = reporting.measure_space() if refresh else []
        made = reporting.report(budget_bytes=limit)
        if html is not None:
            from backup_core.cli.files import write_whole

            write_whole(html, reporting.html(made))
    from backup_core.cli import documents, report_documents

    document = {
        **report_documents.report(made),
        "html": None if html is None else str(html),
        "problems": documents.problems(problems),
    }
    code = ExitCode.PROBLEMS if any(one.serious for one in made.attention) else ExitCode.OK
    return Reply(document, lambda out: _show_report(out, made, html, problems), code)


def _show_report(out: Console, made: Report, html: Path | None, problems: Sequence[Problem]) -> None:
    from backup_core.reports import words

    out.print(facts((card.title.lower(), f"{card.value}  ({card.note})") for card in words.headline(made)))
    rows = [
        (
            one.name,
            words.ago(one.age),
            units.number(one.backups),
            units.size(one.newest_bytes),
            units.size(one.stored_bytes),
            words.times(one.space_ratio),
            words.per_day(one.growth_per_day),
            words.share(one.success_rate, one.runs),
        )
        for one in made.configurations
    ]
    columns = ("CONFIGURATION", "LAST GOOD", "BACKUPS", "NEWEST", "STORED", "KEPT/STORED", "GROWTH", "GOOD RUNS")
    out.print()
    out.print(table(columns, rows, right=columns[2:]))
    for thing in made.attention:
        word = "attention" if thing.serious else "note"
        out.print(units.printable(f"{word}: {thing.subject}: {thing.message}; {thing.advice}"), soft_wrap=True)
    show_problems(out, problems)
    if html is not None:
        out.print(units.printable(f"written to {html}"), soft_wrap=True)


def metrics(
    run: Invocation,
    *,
    file: Annotated[
        Path | None,
        typer.Option("--file", metavar="FILE", help="Write them to this file, whole, for node_exporter."),
    ] = None,
    listen: Annotated[
        str | None,
        typer.Option("--listen", metavar="HOST:PORT", help="Serve them over HTTP at /metrics until interrupted."),
    ] = None,
) -> Reply:
    """Print the current figures as Prometheus metrics, write them to a file, or serve them."""
    if file is not None and listen is not None:
        raise UsageError("--file and --listen are two different ways; give one")
    reporting = run.application.reporting
    if listen is not None:
        return _serve_metrics(run, *_address(listen))
    text = reporting.metrics()
    if file is not None:
        from backup_core.cli.files import write_whole

        write_whole(file, text)
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    document = {"metrics": len(lines), "file": None if file is None else str(file), "text": text}
    said = text.rstrip("\n") if file is None else f"{len(lines)} metrics written to {file}"
    return Reply(document, lambda out: out.print(said, soft_wrap=True))


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65535:
        raise UsageError(f"{text!r} is no address; write it like 127.0.0.1:9190")
    return host.strip("[]"), int(port)


def _serve_metrics(run: Invocation, host: str, port: int) -> Reply:
    with run.application.reporting.metrics_server(host=host, port=port) as server:
        address = f"http://{host}:{server.server_port}/metrics"
        run.err.print(f"serving {address}; Ctrl+C stops it", soft_wrap=True)
        collector.as_usual()
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            run.err.print("stopped")
    return Reply({"served": address}, lambda _: None)
