"""What a cleanup decided, as markdown for Prefect's artifact pages: every backup with all reasons."""

from __future__ import annotations

from backup_core.cli import units
from backup_core.services.retention.pruning import PruneResult
from backup_core.services.retention.records import CleanupResult
from flows._artifacts import bullets, escaped

MOST_ROWS = 500
"""Backups shown; those that go come first."""


def cleanup_report(result: CleanupResult) -> str:
    """A cleanup's report."""
    if result.dry_run:
        headline = f"{len(result.surplus)} of {len(result.decisions)} backups would be forgotten"
    else:
        headline = f"{len(result.forgotten)} of {len(result.decisions)} backups were forgotten"
    ordered = sorted(result.decisions, key=lambda decision: decision.keep)
    rows = [
        "| | Backup | Time | Host | Why |",
        "|---|---|---|---|---|",
        *(
            f"| {'keep' if d.keep else '**forget**'} | {escaped(d.backup.backup_id)} "
            f"| {units.moment(d.backup.created_at)} | {escaped(d.backup.hostname)} | {escaped('; '.join(d.reasons))} |"
            for d in ordered[:MOST_ROWS]
        ),
    ]
    held = [f"{escaped(hold.backup_id)}: {escaped(sign)}" for hold in result.holds for sign in hold.signs]
    advice = f"Nothing can be forgotten before a person has looked: davault hold release {result.config_name}"
    sections = [
        *bullets("Held", [*held, escaped(advice)] if held else []),
        *(_prune(result.pruned) if result.pruned is not None else []),
    ]
    return "\n".join([f"# {headline}", "", *sections, *rows, ""])


def _prune(pruned: PruneResult) -> list[str]:
    planned = pruned.planned_requests
    figures = [
        ("kept", pruned.kept_packs, pruned.kept_bytes, 0),
        ("copied in part", pruned.repacked_packs, pruned.repacked_bytes, planned.get("copy", 0)),
        ("deleted", pruned.deleted_packs, pruned.deleted_bytes, planned.get("delete", 0)),
        ("of interrupted runs", pruned.unreferenced_packs, pruned.unreferenced_bytes, 0),
    ]
    return [
        "## Packs",
        "",
        f"**{units.size(pruned.freed_bytes)}** {'would be' if pruned.dry_run else 'were'} given back; "
        f"{units.size(pruned.unused_bytes)} of unneeded data stay.",
        "",
        "| | Packs | Size | Requests |",
        "|---|---:|---:|---:|",
        *(
            f"| {what} | {units.number(packs)} | {units.size(size)} | {units.number(requests)} |"
            for what, packs, size, requests in figures
        ),
        "",
    ]
