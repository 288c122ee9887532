"""The report of a fleet run: each machine, with outcome, figures, and what to do where something is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby

from backup_core.cli import units
from backup_core.services.listings import RunRecord
from flows._artifacts import MOST_LINES, bullets, escaped
from flows._fleet import Ended, Job, Result

ADVICE = {
    Result.FAILED: "read the run's log, mend the cause and start it again; what was stored already is reused",
    Result.CRASHED: "it crashed again and again: look at the machine's memory, disk and system log",
    Result.CANCELLED: "somebody stopped it, or a run of its schedule was at work; start it again if none has followed",
    Result.NOT_TAKEN: "see whether the machine is up and start its worker: python -m deployments.worker --pool {pool}",
    Result.LOST: "see whether the machine is up and reaches this server; its next worker takes up what is left",
    Result.LEFT: "see its progress in the run; give fleet runs more hours if this is usual",
}
"""What to do, by outcome."""

Link = Callable[[str], str | None]
"""The page of a run by its id."""


def fleet_report(ended: Sequence[Ended], records: Mapping[Job, RunRecord], *, seconds: float, link: Link) -> str:
    """A markdown page, what went wrong first. ``records`` is what the catalogue knows of the runs that were made."""
    good = sum(one.result.good for one in ended)
    ordered = sorted(ended, key=lambda one: (one.result.good, one.job.host, one.job.configuration))
    hosts = {one.job.host for one in ended}
    well = {host for host in hosts if all(one.result.good for one in ended if one.job.host == host)}
    known = [records[one.job] for one in ended if one.job in records]
    lines = [
        f"# {len(well)} of {len(hosts)} machines are backed up",
        "",
        f"{good} of {len(ended)} backups were made in {units.duration(seconds)}: "
        f"{units.number(sum(_figure(record, 'files') for record in known))} files, "
        f"{units.size(sum(_figure(record, 'stored_size') for record in known))} stored, "
        f"{units.number(sum(sum(record.requests.values()) for record in known))} requests.",
        "",
        "| Machine | Configuration | Outcome | Files | New data | Stored | Requests | Time | Problems |",
        "|---|---|---|---:|---:|---:|---:|---:|---:|",
        *(_row(one, records.get(one.job), link) for one in ordered),
        "",
    ]
    wrong = [_advice(one) for one in ordered if not one.result.good]
    lines += bullets("What to do", wrong, len(wrong))
    return "\n".join(lines + _problems(ordered, records))


def _row(one: Ended, record: RunRecord | None, link: Link) -> str:
    page = link(one.run) if one.run else None
    shown = one.result.value if one.result.good else f"**{one.result.value}**"
    if one.attempts > 1:
        shown += f" (attempt {one.attempts})"
    cells = [
        escaped(one.job.host),
        escaped(one.job.configuration),
        f"[{shown}]({page})" if page else shown,
        *(_cells(record) if record is not None else ["-"] * 6),
    ]
    return f"| {' | '.join(cells)} |"


def _cells(record: RunRecord) -> list[str]:
    seconds = (record.ended_at - record.started_at).total_seconds() if record.ended_at else None
    return [
        units.number(_figure(record, "files")),
        units.size(_figure(record, "data_added")),
        units.size(_figure(record, "stored_size")),
        units.number(sum(record.requests.values())),
        "-" if seconds is None else units.duration(seconds),
        units.number(len(record.problems)),
    ]


def _figure(record: RunRecord, name: str) -> int:
    return int(record.figures.get(name) or 0)


def _advice(one: Ended) -> str:
    told = f": {escaped(one.message)}" if one.message else ""
    advice = ADVICE[one.result].format(pool=one.job.pool)
    return f"**{escaped(one.job.host)}**, {escaped(one.job.configuration)}{told}. {advice}"


def _problems(ordered: Iterable[Ended], records: Mapping[Job, RunRecord]) -> list[str]:
    lines: list[str] = []
    for host, of_host in groupby(ordered, key=lambda one: one.job.host):
        found = [
            f"{escaped(one.job.configuration)}: {problem.severity.value}: {escaped(problem.message)}"
            for one in of_host
            if one.job in records
            for problem in records[one.job].problems
        ]
        lines += bullets(f"Problems on {escaped(host)}", found[:MOST_LINES], len(found))
    return lines
