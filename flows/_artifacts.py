"""What a run did, as markdown for Prefect's artifact pages: figures first, then problems with advice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice

from backup_core.cli import units
from backup_core.config.models import BackupConfig
from backup_core.results import BackupSummary, Problem, RestoreSummary
from backup_core.services.findings import BackupValidationResult
from backup_core.services.recovery_records import RestorePreview

MOST_LINES = 50
"""Problems shown; a report with thousands helps nobody."""
_ESCAPED = str.maketrans({c: f"\\{c}" for c in "\\`*_{}[]<>#|~$"} | {"\n": "\\\\n"})


def backup_report(config: BackupConfig, summary: BackupSummary) -> str:
    """A backup's report."""
    done = "would be stored" if summary.dry_run else "stored"
    figures = {
        "Backup": summary.backup_id,
        "Snapshot": summary.snapshot_id[:8] or "none (dry run)",
        "Kind": summary.backup_type,
        "Sources": ", ".join(config.source_paths),
        "Target": f"{config.target_client_id}:{config.target_path}, {units.encryption(summary.encrypted)}",
        "Files": units.number(summary.files),
        "New / changed / unchanged": " / ".join(
            map(units.number, (summary.files_new, summary.files_changed, summary.files_unchanged))
        ),
        "Logical size": units.size(summary.total_size),
        "New data": units.size(summary.data_added),
        f"Really {done}": units.size(summary.stored_size),
        **_effort(summary.requests, summary.seconds),
    }
    headline = f"{units.number(summary.files)} files, {units.size(summary.stored_size)} {done}: {summary.outcome.value}"
    return _document(headline, figures, summary.notes, _problem_lines(summary.problems), len(summary.problems))


def validation_report(results: Sequence[BackupValidationResult]) -> str:
    """The report on one or several validated backups."""
    good = sum(r.is_valid for r in results)
    headline = f"{good} of {len(results)} backups are whole"
    rows = [
        "| Backup | Result | Depth | Files right | Packs | Read | Time |",
        "|---|---|---|---:|---:|---:|---:|",
        *(
            f"| {escaped(r.backup_id)} | {'whole' if r.is_valid else '**DAMAGED**'} | {r.depth} "
            f"| {units.number(r.files_passed)} of {units.number(r.files_checked)} | {units.number(r.packs_checked)} "
            f"| {units.size(r.bytes_read)} | {units.duration(r.seconds)} |"
            for r in results
        ),
    ]
    found = [f"**{escaped(r.backup_id)}**: {escaped(text)}" for r in results for text in (*r.errors, *r.warnings)]
    advice = (
        "Damaged backups stay damaged until the missing data is stored again: run a full backup of the configuration "
        "while the files still exist, then validate again."
    )
    notes = () if good == len(results) else (advice,)
    return "\n".join(
        [f"# {headline}", "", *rows, "", *bullets("Advice", notes), *bullets("Findings", found, len(found))]
    )


def restore_report(subject: str, summary: RestoreSummary) -> str:
    """A restore's report."""
    figures = {
        "Restored": subject,
        "Target": summary.target,
        "Entries": units.number(summary.files_total),
        "Written": units.number(summary.files_restored),
        "Already right": units.number(summary.files_unchanged),
        "Read back from disk": units.number(summary.files_verified),
        "Bytes written": units.size(summary.bytes_restored),
        "Downloaded": units.size(summary.bytes_downloaded),
        "Content taken from": _copies(summary.blobs_by_copy),
        **_effort(summary.requests, summary.seconds),
    }
    failed = [f"{escaped(path)}: {escaped(why)}" for path, why in islice(summary.failed.items(), MOST_LINES)]
    headline = f"{units.number(summary.files_restored)} entries restored: {summary.outcome.value}"
    lines = [*failed, *_problem_lines(summary.problems)]
    return _document(headline, figures, (), lines, len(summary.failed) + len(summary.problems))


def preview_report(subject: str, planned: RestorePreview) -> str:
    """What a restore would do."""
    figures = {
        "Restored": subject,
        "Backup": planned.backup_id,
        "Target": planned.target,
        "Entries": units.number(planned.files_total),
        "To create": units.number(planned.creates),
        "To replace": units.number(planned.replaces),
        "To delete": units.number(planned.deletes),
        "To keep as they are": units.number(planned.keeps),
        "Bytes to write": units.size(planned.bytes_to_write),
        "To download": f"{units.size(planned.bytes_to_download)} of {units.number(planned.packs)} packs",
    }
    headline = f"{units.number(planned.creates + planned.replaces)} entries would be written"
    return _document(headline, figures, ("With dry_run off, the same run does this.",), (), 0)


def _copies(blobs_by_copy: Mapping[str, int]) -> str:
    return ", ".join(f"{place} ({units.number(blobs)} blobs)" for place, blobs in blobs_by_copy.items()) or "-"


def _effort(requests: Mapping[str, int], seconds: float) -> dict[str, str]:
    by_method = ", ".join(f"{units.number(count)} {method}" for method, count in sorted(requests.items()))
    return {"Requests": by_method or "0", "Time": units.duration(seconds)}


def _document(
    headline: str, figures: Mapping[str, str], notes: Iterable[str], problems: Sequence[str], problem_count: int
) -> str:
    rows = ["| | |", "|---|---|", *(f"| {name} | {escaped(value)} |" for name, value in figures.items())]
    sections = [*bullets("Notes", [escaped(n) for n in notes]), *bullets("Problems", problems, problem_count)]
    return "\n".join([f"# {headline}", "", *rows, "", *sections])


def _problem_lines(problems: Iterable[Problem]) -> list[str]:
    return [f"{p.severity.value}: {escaped(p.message)}" for p in islice(problems, MOST_LINES)]


def bullets(title: str, lines: Sequence[str], count: int = 0) -> list[str]:
    """A section with the first of ``lines`` (escaped already) and how many more of ``count`` there are; [] for none."""
    if not lines:
        return []
    shown = lines[:MOST_LINES]
    more = [f"- … and {units.number(count - len(shown))} more"] if count > len(shown) else []
    return [f"## {title}", "", *(f"- {line}" for line in shown), *more, ""]


def escaped(text: str) -> str:
    """Foreign text that neither ends a table cell nor turns into markup."""
    return units.printable(text).translate(_ESCAPED)
