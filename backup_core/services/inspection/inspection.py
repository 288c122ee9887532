"""Searching, comparing and following paths through backups."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from backup_core.errors import ConfigError
from backup_core.progress import CancelToken
from backup_core.results import Problem, Severity
from backup_core.services.inspection.records import (
    BackupDifference,
    FileChange,
    FoundFile,
    PathHistory,
    PathVersion,
    SearchResult,
    SideCounts,
)
from backup_core.services.records import BackupManifest

if TYPE_CHECKING:
    from backup_core.engine.file_history import Version
    from backup_core.engine.find_versions import FoundVersion
    from backup_core.engine.snapshot_diff import Change, SideTotals
    from backup_core.format.snapshot import Snapshot
    from backup_core.format.tree import Node
    from backup_core.repository.repository import Repository
    from backup_core.services.backup_service import BackupService
    from backup_core.types import BlobId

_MARK_DIGITS = 10
_WORDS = {"+": "added", "-": "removed", "M": "changed", "U": "metadata", "T": "type"}


class Inspection:
    """Answers from trees; see the functions for what each costs."""

    def __init__(self, service: BackupService) -> None:
        self._service = service

    def find(
        self,
        patterns: Sequence[str],
        *,
        config_name: str | None = None,
        backup_id: str | None = None,
        case_insensitive: bool = False,
        cancel: CancelToken | None = None,
    ) -> SearchResult:
        """Entries whose own name or path matches one of ``patterns``: in one backup, in those of a configuration's
        repository, or in all there are. Directories that many backups share are looked into once.

        Raises ``ConfigError`` (a faulty pattern, an unknown name) and what opening a repository raises.
        """
        from backup_core.engine.find_versions import VersionSearch

        files: list[FoundFile] = []
        problems: list[Problem] = []
        looked = 0
        for name, wanted in self._chosen(config_name, backup_id):
            with self._service.opened(name) as opened:
                backups = self._by_snapshot(opened.repository.id)
                groups = _snapshots(opened.repository, backups, problems, config_name=config_name, wanted=wanted)
                for snapshots in groups.values():
                    search = VersionSearch(opened.repository, patterns, case_insensitive=case_insensitive)
                    for snapshot in snapshots:
                        search.look_through(snapshot, cancel=cancel)
                    looked += len(snapshots)
                    files += (_found(version, backups) for version in search.found)
                    problems += (_unseen(path, error) for path, error in search.damage.items())
        return SearchResult(tuple(files), looked, tuple(problems))

    def diff(self, before: str, after: str, *, cancel: CancelToken | None = None) -> BackupDifference:
        """What changed between two backups of one repository; the cost is that of what changed.

        Raises ``ConfigError`` when they lie in different repositories, ``BlobMissing`` or ``Corrupt`` for a directory
        that cannot be read.
        """
        from backup_core.engine.snapshot_diff import ChangeKind, DiffTotals, compare_snapshots

        left, right = self._service.manifest(before), self._service.manifest(after)
        name = self._service.known.configuration_of(left)
        with self._service.opened(name) as opened:
            repository = opened.repository
            known = self._by_snapshot(repository.id)
            if right.snapshot_id not in known:
                raise ConfigError(f"{left.backup_id} and {right.backup_id} lie in different repositories")
            repository.load_index(cancel=cancel, problems=[], allow_unproved=True)
            snapshots = [repository.load_snapshot(backup.snapshot_id) for backup in (left, right)]
            totals = DiffTotals()
            changes = []
            above = _above_sources(snapshots)
            for change in compare_snapshots(repository, *snapshots, cancel=cancel):
                # The directories above a source are no part of what was to be backed up.
                if change.kind is ChangeKind.METADATA and change.path in above:
                    continue
                totals.count(change)
                changes.append(_change(change))
            new_data, new_stored = _sizes(repository, totals.new_blobs)
            gone_data, gone_stored = _sizes(repository, totals.gone_blobs)
        return BackupDifference(
            before=left,
            after=right,
            changes=tuple(changes),
            added=_side(totals.added),
            removed=_side(totals.removed),
            content_changed=totals.content_changed,
            metadata_changed=totals.metadata_changed,
            type_changed=totals.type_changed,
            new_data=new_data,
            new_stored=new_stored,
            gone_data=gone_data,
            gone_stored=gone_stored,
        )

    def history(
        self, path: str, *, config_name: str | None = None, cancel: CancelToken | None = None
    ) -> list[PathHistory]:
        """The versions of a path (a relative one is below the working directory), for each configuration that ever had
        it. Only directories on the way to it are read.

        Raises ``ConfigError`` when no backup holds it.
        """
        from backup_core.engine.file_history import path_versions

        wanted = os.fsencode(os.path.abspath(path))  # noqa: PTH100 - bytes, and no link is to be followed
        found: list[PathHistory] = []
        for name, _ in self._chosen(config_name, None):
            with self._service.opened(name) as opened:
                backups = self._by_snapshot(opened.repository.id)
                groups = _snapshots(opened.repository, backups, [], config_name=config_name)
                for owner, snapshots in groups.items():
                    versions = list(path_versions(opened.repository, wanted, snapshots, cancel=cancel))
                    if versions:
                        found.append(PathHistory(owner, _shown(wanted), _versions(wanted, versions, backups)))
        if not found:
            where = f" of {config_name!r}" if config_name is not None else ""
            raise ConfigError(f"no backup{where} holds {_shown(wanted)}; davault find looks for names and patterns")
        return found

    def _chosen(self, config_name: str | None, backup_id: str | None) -> list[tuple[str, str | None]]:
        """(configuration to open, snapshot or None for all) of each repository to look into, each repository once."""
        if backup_id is not None:
            backup = self._service.manifest(backup_id)
            return [(self._service.known.configuration_of(backup), backup.snapshot_id)]
        if config_name is not None:
            return [(self._service.configurations.stored(config_name).name, None)]
        places: dict[tuple[str, str], str] = {}
        for config in self._service.configurations.all_stored():
            places.setdefault((config.target_client_id, config.target_path), config.name)
        return [(name, None) for name in places.values()]

    def _by_snapshot(self, repository_id: str) -> dict[str, BackupManifest]:
        return {backup.snapshot_id: backup for backup in self._service.known.of_repository(repository_id)}


def _above_sources(snapshots: Iterable[Snapshot]) -> set[bytes]:
    above: set[bytes] = set()
    for source in {path for snapshot in snapshots for path in snapshot.paths}:
        names = os.fsencode(source).strip(b"/").split(b"/")
        above.update(b"/" + b"/".join(names[:depth]) for depth in range(1, len(names)))
    return above


def _snapshots(
    repository: Repository,
    backups: Mapping[str, BackupManifest],
    problems: list[Problem],
    *,
    config_name: str | None,
    wanted: str | None = None,
) -> dict[str, list[Snapshot]]:
    """The snapshots to look into, oldest first, by the configuration that made them ("": another program)."""
    repository.load_index(problems=problems, allow_unproved=True)
    if wanted is not None:
        return {backups[wanted].config_name: [repository.load_snapshot(wanted)]}
    groups: dict[str, list[Snapshot]] = {}
    for snapshot in repository.snapshots(problems=problems, allow_unproved=True):
        owner = backups[snapshot.id].config_name
        if config_name in (None, owner) or not owner:
            groups.setdefault(owner, []).append(snapshot)
    return groups


def _found(version: FoundVersion, backups: Mapping[str, BackupManifest]) -> FoundFile:
    from backup_core.services.file_listing import file_entry

    last = backups[version.last]
    return FoundFile(
        entry=file_entry(version.path, version.node),
        config_name=last.config_name,
        backups=version.snapshots,
        first_backup=backups[version.first].backup_id,
        last_backup=last.backup_id,
        last_backup_at=last.created_at,
    )


def _unseen(path: bytes, error: Exception) -> Problem:
    shown = _shown(path)
    return Problem("unreadable", f"{shown} could not be looked into: {error}", path=shown, severity=Severity.ERROR)


def _change(change: Change) -> FileChange:
    node = change.after or change.before
    return FileChange(
        mark=change.kind.value,
        path=_shown(change.path),
        type=node.type if node is not None else "",
        size_before=None if change.before is None else change.before.size,
        size_after=None if change.after is None else change.after.size,
    )


def _side(totals: SideTotals) -> SideCounts:
    return SideCounts(totals.files, totals.directories, totals.others, totals.size)


def _sizes(repository: Repository, blobs: Iterable[BlobId]) -> tuple[int, int]:
    """(plaintext, stored) bytes of blobs; those that the index has lost count for nothing."""
    places = [place for blob in blobs if (place := repository.index.find(blob)) is not None]
    return sum(place.plaintext_length for place in places), sum(place.length for place in places)


def _versions(
    path: bytes, versions: Sequence[Version], backups: Mapping[str, BackupManifest]
) -> tuple[PathVersion, ...]:
    from backup_core.services.file_listing import file_entry

    made: list[PathVersion] = []
    before = 0
    for version in versions:
        size = version.node.size if version.node is not None else 0
        first, last = backups[version.first], backups[version.last]
        made.append(
            PathVersion(
                change=_WORDS[version.change.value],
                entry=None if version.node is None else file_entry(path, version.node),
                size_change=size - before,
                content=_mark(version.node),
                backups=version.snapshots,
                first_backup=first.backup_id,
                last_backup=last.backup_id,
                first_backup_at=first.created_at,
                last_backup_at=last.created_at,
            )
        )
        before = size
    return tuple(made)


def _mark(node: Node | None) -> str:
    """Of a file its content's pieces, of a directory its tree; short enough to compare by eye."""
    if node is None or (node.content is None and node.subtree is None):
        return ""
    pieces = node.content if node.content is not None else (node.subtree or b"",)
    return hashlib.sha256(b"".join(pieces)).hexdigest()[:_MARK_DIGITS]


def _shown(path: bytes) -> str:
    from backup_core.engine.restore_layout import printable

    return printable(path)
