"""The snapshots of a repository: list, load, save and remove."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from backup_core.errors import FormatError, NotFound, RepositoryError, StorageError
from backup_core.format.layout import FileKind, is_id
from backup_core.format.snapshot import Snapshot
from backup_core.progress import CancelToken
from backup_core.repository.cache import Cache
from backup_core.repository.sealed_files import SealedFiles, survey
from backup_core.results import Problem, Severity
from backup_core.storage.backend import Backend
from backup_core.types import SnapshotId

_SHORTEST_PREFIX = 4


def listed_ids(backend: Backend) -> frozenset[str] | None:
    """The ids of the snapshots on a server, None when it may have more than it lists. Takes one request and no key."""
    found = survey(backend, FileKind.SNAPSHOT)
    return frozenset(found.files) if found.proved else None


class Snapshots:
    """Snapshot files. Safe between threads."""

    def __init__(self, files: SealedFiles, cache: Cache, *, location: str, atomic_put: bool) -> None:
        """``atomic_put``: what the server says yes to is there, and whole."""
        self._files = files
        self._cache = cache
        self._location = location
        self._atomic_put = atomic_put

    def remembered(self) -> list[Snapshot]:
        """Those that this machine has a copy of, oldest first, without asking whether they are still there."""
        found = []
        for digits in self._cache.ids(FileKind.SNAPSHOT):
            with suppress(FormatError, StorageError):  # such a copy is as good as none
                found.append(Snapshot.decode(self._files.read(FileKind.SNAPSHOT, digits), SnapshotId(digits)))
        return sorted(found, key=lambda snapshot: (snapshot.time, snapshot.id))

    def list(
        self,
        *,
        problems: list[Problem] | None = None,
        known: set[str] | None = None,
        allow_unproved: bool = False,
        cancel: CancelToken | None = None,
    ) -> list[Snapshot]:
        """All snapshots, oldest first, but for those whose ids are ``known`` and of which a copy lies here; the others
        are taken out of ``known``.

        One that cannot be read raises, unless ``problems`` takes note of it instead. Raises ``ListingUnproved`` when
        the listing may be incomplete, unless that is allowed.
        """
        listed = self._files.list(FileKind.SNAPSHOT, allow_unproved=allow_unproved)
        wanted = list(listed.files)
        if known is not None:
            known.intersection_update(listed.files, self._cache.ids(FileKind.SNAPSHOT))
            wanted = [digits for digits in wanted if digits not in known]
        found = []
        for digits, content in self._files.read_each(FileKind.SNAPSHOT, wanted, cancel=cancel):
            try:
                if isinstance(content, (StorageError, FormatError)):
                    raise content
                found.append(Snapshot.decode(content, SnapshotId(digits)))
            except NotFound:
                continue  # removed since the directory was read
            except FormatError as error:
                if problems is None:
                    raise
                problems.append(_unreadable(digits, error))
        if listed.proved:
            self._cache.keep_only(FileKind.SNAPSHOT, listed.files)
        return sorted(found, key=lambda snapshot: (snapshot.time, snapshot.id))

    def load(self, wanted: str) -> Snapshot:
        """The snapshot with this id or unambiguous beginning of one (at least 4 digits).

        Raises ``RepositoryError`` when there is none or more than one.
        """
        if not is_id(wanted) and len(wanted) < _SHORTEST_PREFIX:
            raise RepositoryError(f'"{wanted}" is too short for the beginning of a snapshot id: give 4 digits or more')
        listed = self._files.list(FileKind.SNAPSHOT, allow_unproved=True)
        matching = [digits for digits in listed.files if digits.startswith(wanted)]
        if not matching and is_id(wanted) and not listed.proved:
            matching = [wanted]  # the listing may lack it
        if len(matching) > 1:
            shown = ", ".join(digits[:8] for digits in matching[:5])
            raise RepositoryError(f'"{wanted}" begins the ids of {len(matching)} snapshots ({shown}): give more digits')
        try:
            if matching:
                return Snapshot.decode(self._files.read(FileKind.SNAPSHOT, matching[0]), SnapshotId(matching[0]))
        except NotFound:
            pass  # answered like one that was never listed
        raise RepositoryError(f'there is no snapshot "{wanted}" at {self._location}. List the backups to see their ids')

    def save(self, snapshot: Snapshot) -> SnapshotId:
        """Store a snapshot; its id. All it refers to must be on the server and in an index file there.

        Where a write may be lost or cut, the server is asked for it; raises ``RepositoryError`` when it is not there
        as it was sent.
        """
        saved = SnapshotId(self._files.write(FileKind.SNAPSHOT, replace(snapshot, id=SnapshotId("")).encode()))
        if not self._atomic_put and (stored := self._files.size(FileKind.SNAPSHOT, saved)) != (
            sent := self._files.last_seen(FileKind.SNAPSHOT)[saved]
        ):
            there = "is not there" if stored is None else f"has {stored} bytes there instead of {sent}"
            error = RepositoryError(
                f"the snapshot {saved[:8]} that {self._location} had confirmed {there}, so there is no new backup. "
                "What it needs is stored and reused: run the backup again, and distrust this server"
            )
            self.withdraw(saved, error)
            raise error
        return saved

    def withdraw(self, saved: SnapshotId, reason: RepositoryError) -> None:
        """Remove a snapshot that was just written and cannot be relied upon; ``reason`` notes when that fails."""
        try:
            self.remove(saved)
        except StorageError as error:
            reason.add_note(f"the snapshot {saved[:8]} may be there and could not be removed ({error}): validate it")

    def remove(self, snapshot: SnapshotId) -> None:
        """Forget a snapshot; its data stays until it is pruned."""
        self._files.delete(FileKind.SNAPSHOT, snapshot)


def _unreadable(digits: str, error: FormatError) -> Problem:
    return Problem(
        "damaged-snapshot",
        f"the snapshot {digits[:8]} cannot be read: {error}. Other snapshots are not touched by this",
        object_id=digits,
        severity=Severity.ERROR,
    )
