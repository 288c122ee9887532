"""Copying to mirrors as a markdown page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from backup_core.cli import units
from backup_core.config.models import BackupConfig
from backup_core.services.mirroring.result import MirrorResult
from flows._artifacts import bullets, escaped


def mirror_report(config: BackupConfig, results: Sequence[MirrorResult], failures: Mapping[str, str]) -> str:
    """What was copied where; ``failures`` are mirrors to which nothing could be copied, with the reason."""
    copied = sum(len(result.copied) for result in results)
    would = "would be copied" if any(result.dry_run for result in results) else "copied"
    headline = f"{escaped(config.name)}: {copied} backups {would} to {len(results)} of {len(config.mirrors)} mirrors"
    rows = [
        "| Mirror | Result | Copied | There before | Sent | Read | Requests | Time |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
        *(_row(result) for result in results),
        *(f"| {escaped(place)} | **FAILED** | | | | | | |" for place in failures),
    ]
    left_out = [f"{escaped(name)}: {escaped(why)}" for result in results for name, why in result.left_out.items()]
    problems = [f"{escaped(place)}: {escaped(why)}" for place, why in failures.items()]
    problems += [f"{p.severity.value}: {escaped(p.message)}" for result in results for p in result.problems]
    advice = [
        "A backup that could not be copied is damaged in the first repository: run a full backup while the files still "
        "exist, validate, and mirror again."
    ]
    notes = [f"{escaped(result.client)}: {escaped(note)}" for result in results for note in result.notes]
    return "\n".join(
        [
            f"# {headline}",
            "",
            *rows,
            "",
            *bullets("Notes", notes),
            *bullets("Not copied", left_out),
            *bullets("Advice", advice if left_out else []),
            *bullets("Problems", problems),
        ]
    )


def _row(result: MirrorResult) -> str:
    number = units.number
    return (
        f"| {escaped(f'{result.client}:{result.path}')} | {result.outcome.value} | {number(len(result.copied))} "
        f"| {number(result.already_there)} | {units.size(result.bytes_written)} | {units.size(result.bytes_read)} "
        f"| {number(sum(result.requests.values()))} | {units.duration(result.seconds)} |"
    )
