"""Are the small files of a repository there and right: keys, index files, snapshots, the config, records?"""

from __future__ import annotations

from collections.abc import Iterable

from backup_core.errors import BackupError, FormatError, ListingUnproved, NotFound, ShortRead
from backup_core.format.config_file import RepositoryConfig
from backup_core.format.ids import sha256, to_hex
from backup_core.format.layout import FileKind, file_name, id_of, is_id
from backup_core.format.snapshot import Snapshot
from backup_core.progress import CancelToken
from backup_core.repository.parallel import each
from backup_core.repository.repository import Repository
from backup_core.repository.sealed_records import SealedRecords
from backup_core.results import Problem, Severity
from backup_core.types import SnapshotId

COMMON = SnapshotId("")
"""Under this key stands what concerns the repository as a whole."""

_WAYS_OUT = {
    FileKind.KEY: "Add the password again from a machine where the repository still opens",
    FileKind.INDEX: "The packs it lists are still there: repair the index",
    FileKind.SNAPSHOT: "Its data is still there, but the backup cannot be found any more; make a new one",
}


def check_presence(repository: Repository, snapshots: Iterable[Snapshot]) -> dict[SnapshotId, list[Problem]]:
    """Problems with each snapshot's own file, and ``COMMON`` -> those with the key: two listings."""
    found: dict[SnapshotId, list[Problem]] = {COMMON: []}
    there = _names(repository, FileKind.SNAPSHOT)
    for snapshot in snapshots:
        gone = there is not None and snapshot.id not in there
        found[snapshot.id] = [_problem(FileKind.SNAPSHOT, snapshot.id, "is missing on the server")] if gone else []
    keys = _names(repository, FileKind.KEY)
    if keys is not None and repository.key_id not in keys:
        found[COMMON].append(_problem(FileKind.KEY, repository.key_id, "is missing on the server"))
    return found


def check_content(
    repository: Repository, snapshots: Iterable[Snapshot], *, cancel: CancelToken
) -> dict[SnapshotId, list[Problem]]:
    """Fetch the config, every key, index file and record, and the snapshots' own files, past the local cache.

    Problems with each snapshot's file, and ``COMMON`` -> those with the others. Storage errors are raised.
    """
    names = [
        file_name(kind, digits)
        for kind in (FileKind.KEY, FileKind.INDEX)
        for digits in sorted(_names(repository, kind) or ())
    ]
    names += [file_name(FileKind.SNAPSHOT, snapshot.id) for snapshot in snapshots]
    found: dict[SnapshotId, list[Problem]] = {COMMON: _check_config(repository)}
    threads = repository.backend.promises.parallel_requests
    for name, data in each(repository.backend.get, names, threads=threads, cancel=cancel):
        kind, digits = FileKind(name.partition("/")[0]), id_of(name)
        problems = found.setdefault(SnapshotId(digits) if kind is FileKind.SNAPSHOT else COMMON, [])
        if isinstance(data, NotFound):
            # Index files and keys may be replaced by others at any time; then they are no longer listed either.
            if kind is FileKind.SNAPSHOT or digits in (_names(repository, kind) or ()):
                problems.append(_problem(kind, digits, "is missing on the server"))
        elif isinstance(data, ShortRead):
            problems.append(_problem(kind, digits, f"cannot be read: {data}"))
        elif isinstance(data, BackupError):
            raise data
        elif to_hex(sha256(data)) != digits:
            problems.append(_problem(kind, digits, "does not have the content it was named after"))
    found[COMMON] += _check_records(repository, cancel)
    return found


def _names(repository: Repository, kind: FileKind) -> frozenset[str] | None:
    """The ids in a directory, None when the listing may lack some."""
    listing = repository.backend.list(kind)
    if not listing.proved_complete:
        return None
    return frozenset(digits for entry in listing.objects if is_id(digits := entry.name.rpartition("/")[2]))


def _check_config(repository: Repository) -> list[Problem]:
    try:
        config = RepositoryConfig.decode(repository.sealer().open(repository.backend.get(FileKind.CONFIG)))
        fault = "" if config == repository.config else "is not the one the repository was opened with"
    except (NotFound, ShortRead) as error:
        fault = f"cannot be read: {error}"
    except BackupError as error:
        fault = f"is damaged: {error}"
    told = f"the file `config` {fault}. Put a copy back: without it nobody can open the repository"
    return [Problem("damaged-config", told, severity=Severity.ERROR)] if fault else []


def _check_records(repository: Repository, cancel: CancelToken) -> list[Problem]:
    """Records that are damaged, or under a name that is not theirs. No backup needs them, so these are warnings."""
    records = SealedRecords(repository)
    try:
        names = records.list()
    except ListingUnproved:
        return []
    problems = []
    threads = repository.backend.promises.parallel_requests
    for name, content in each(records.read, names, threads=threads, cancel=cancel):
        if isinstance(content, (FormatError, ShortRead)):
            told = f"{content}. The next record of the installation that wrote it takes its place"
            problems.append(Problem("damaged-record", told, object_id=name.path))
        elif isinstance(content, BackupError) and not isinstance(content, NotFound):
            raise content
    return problems


def _problem(kind: FileKind, digits: str, fault: str) -> Problem:
    word = {FileKind.KEY: "key", FileKind.INDEX: "index", FileKind.SNAPSHOT: "snapshot"}[kind]
    told = f"the {word} file {digits[:16]} {fault}. {_WAYS_OUT[kind]}"
    return Problem(f"damaged-{word}", told, object_id=digits, severity=Severity.ERROR)
