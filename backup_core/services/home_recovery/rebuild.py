"""The whole way back: find the repositories, open them, read their records, and fill the catalogue."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from backup_core.catalogue.evidence_rows import Fate
from backup_core.config.models import BackupConfig, ClientConfig
from backup_core.errors import ConfigError, FormatError, NotARepository, WrongKey
from backup_core.format.snapshot import Snapshot
from backup_core.progress import CancelToken
from backup_core.repository.options import RepositoryOptions, default_hostname
from backup_core.repository.repository import Repository
from backup_core.repository.sealed_records import RecordName, SealedRecords
from backup_core.results import Problem
from backup_core.services.home_recovery.decisions import Decided, decide
from backup_core.services.home_recovery.discover import find_repositories
from backup_core.services.home_recovery.wishes import (
    Change,
    GivenKey,
    RecoveredEntry,
    RecoveredRepository,
    RecoveryReport,
    RecoveryWish,
)
from backup_core.services.keys import NO_KEY, FoundKey
from backup_core.services.private_files import write_private_file
from backup_core.services.repositories import OpenRepository
from backup_core.services.run_records.areas import TABLES
from backup_core.services.run_records.document import RecordDocument
from backup_core.services.run_records.keeper import RecordKeeper, newest_records
from backup_core.services.vanished import row_of, vanished_sentence
from backup_core.services.webdav_service import WebDAVService
from backup_core.storage.backend import Backend

if TYPE_CHECKING:
    from backup_core.services.backup_service import BackupService

_LOG = logging.getLogger(__name__)
_UNENCRYPTED = GivenKey(NO_KEY.secret, "", NO_KEY.source)


class HomeRecovery:
    """Brings back what a home knew of the repositories at one address."""

    def __init__(self, service: BackupService) -> None:
        self._service = service

    def recover(self, wish: RecoveryWish, *, cancel: CancelToken | None = None) -> RecoveryReport:
        """Rebuild clients, configurations, the list of backups, history and recovery plans.

        Nothing that is here is overwritten unless the wish says so. Raises ``NotARepository``, ``ListingUnproved`` when
        something may have been overlooked, ``WrongKey`` when no repository opens, ``ConfigError``, ``StorageError``.
        """
        work = _Work(self._service, wish)
        with self._backend(wish, "", cancel) as backend:
            folders = find_repositories(backend, cancel=cancel)
        for folder in folders:
            path = "/".join(part for part in (wish.path.strip("/"), folder) if part)
            with self._backend(wish, folder, cancel) as backend:
                work.repository(backend, f"/{path}", cancel)
        if not any(repository.repository_id for repository in work.repositories):
            raise WrongKey("; ".join(repository.error for repository in work.repositories))
        return work.report()

    @contextmanager
    def _backend(self, wish: RecoveryWish, folder: str, cancel: CancelToken | None) -> Iterator[Backend]:
        # A service of its own: the account is not known here yet, and in a dry run never will be.
        alone = WebDAVService(clock=self._service.clock)
        alone.register(wish.account)
        with alone.opened(wish.account.name, f"{wish.path}/{folder}", cancel=cancel) as backend:
            yield backend


class _Work:
    """One recovery, repository by repository."""

    def __init__(self, service: BackupService, wish: RecoveryWish) -> None:
        self._service = service
        self._wish = wish
        self.repositories: list[RecoveredRepository] = []
        self._clients: dict[str, RecoveredEntry] = {}
        self._rows: Counter[str] = Counter()
        self._vanished: list[str] = []
        self._notes: list[str] = []

    def repository(self, backend: Backend, path: str, cancel: CancelToken | None) -> None:
        """Take one repository in."""
        try:
            repository, key = self._open(backend)
        except (WrongKey, FormatError, NotARepository) as error:
            self.repositories.append(RecoveredRepository(path, backend.location, error=str(error)))
            return
        with repository:
            problems: list[Problem] = []
            snapshots = repository.snapshots(problems=problems, cancel=cancel)
            names, documents = self._records(repository, problems)
            self._notes += [problem.message for problem in problems]
            decided = decide(
                documents, snapshots, account=self._wish.account, path=path, key=key, encrypted=repository.encrypted
            )
            if any(one.config.host == self._wish.host for one in decided):
                decided = [one for one in decided if one.config.is_of(self._wish.host)]
            entries = tuple(self._configuration(d, key) for d in decided)
            self._clients_of_mirrors(documents)
            self._history(repository, documents, snapshots, entries)
            if not self._wish.dry_run:
                self._mirror(repository, key, entries)
                RecordKeeper(self._service).supersede(repository.id, names)
        self.repositories.append(
            RecoveredRepository(
                path,
                backend.location,
                repository.id,
                repository.encrypted,
                len(snapshots),
                tuple(f"{d.hostname}, {d.written_at}" for d in documents),
                entries,
            )
        )

    def report(self) -> RecoveryReport:
        """What was done."""
        return RecoveryReport(
            dry_run=self._wish.dry_run,
            clients=tuple(self._clients.values()),
            repositories=tuple(self.repositories),
            rows=dict(self._rows),
            vanished=tuple(self._vanished),
            notes=tuple(dict.fromkeys(self._notes)),
        )

    # ---- reading

    def _open(self, backend: Backend) -> tuple[Repository, GivenKey]:
        options = RepositoryOptions(cache_directory=None if self._wish.dry_run else self._service.home.cache)
        for key in (*self._wish.keys, _UNENCRYPTED):
            try:
                repository = Repository.open(
                    backend,
                    key.secret,
                    clock=self._service.clock,
                    random_bytes=self._service.random_bytes,
                    options=options,
                )
            except WrongKey:
                continue
            return repository, key
        given = " nor ".join(key.source for key in self._wish.keys)
        told = f"does not open with the key from {given}" if given else "is encrypted, and no key was given"
        raise WrongKey(f"the repository at {backend.location} {told}")

    def _records(
        self, repository: Repository, problems: list[Problem]
    ) -> tuple[list[RecordName], list[RecordDocument]]:
        found = newest_records(repository, problems=problems)
        host = self._wish.host
        machines = {name: _machines(document) for name, document in found.items()}
        if host and not any(host in of for of in machines.values()):
            known = ", ".join(sorted(set().union(*machines.values()))) or "none"
            raise ConfigError(f"no record of the machine {host!r} is in {repository.backend.location}; of: {known}")
        chosen = {name: d for name, d in found.items() if not host or host in machines[name]}
        writers = {name.writer for name in chosen}
        taken_over = [name for name in SealedRecords(repository).list() if name.writer in writers]
        return taken_over, sorted(chosen.values(), key=lambda d: d.written_at, reverse=True)

    # ---- putting in

    def _configuration(self, decided: Decided, key: GivenKey) -> RecoveredEntry:
        client = self._client(decided.client)
        config = decided.config
        configurations = self._service.configurations
        here = configurations.find(config.name)
        if here is not None and _same(here.record(), config.record(), ("encrypt_key",)):
            return RecoveredEntry(config.name, Change.PRESENT, decided.source, decided.notes)
        if here is not None and not self._wish.replace:
            return RecoveredEntry(
                config.name, Change.KEPT, decided.source, (*decided.notes, "another one of this name is here and stays")
            )
        change = Change.ADDED if here is None else Change.REPLACED
        if client.change is Change.KEPT:
            return RecoveredEntry(
                config.name, Change.KEPT, decided.source,
                (*decided.notes, f"not taken over: the client {client.name!r} here is another account"),
            )  # fmt: skip
        if not self._wish.dry_run:
            configurations.add(config, replace=self._wish.replace)
            self._keep_key(config, key)
        return RecoveredEntry(config.name, change, decided.source, decided.notes)

    def _client(self, client: ClientConfig) -> RecoveredEntry:
        if client.name in self._clients:
            return self._clients[client.name]
        webdav = self._service.webdav_service
        here = webdav.configuration(client.name) if webdav.knows(client.name) else None
        notes: tuple[str, ...] = ()
        if here is None:
            change = Change.ADDED
        elif (here.url, here.username) == (client.url, client.username):
            change = Change.PRESENT
        elif self._wish.replace:
            change = Change.REPLACED
        else:
            change, notes = Change.KEPT, ("another account of this name is here and stays",)
        if change in (Change.ADDED, Change.REPLACED) and not self._wish.dry_run:
            webdav.register(client, replace=True)
        source = "address" if client is self._wish.account else "record"
        self._clients[client.name] = RecoveredEntry(client.name, change, source, notes)
        return self._clients[client.name]

    def _clients_of_mirrors(self, documents: Sequence[RecordDocument]) -> None:
        """Accounts that are only needed for copies; where their passwords are is known as far as it was recorded."""
        for record in (client for document in documents for client in document.clients):
            name = str(record.get("name"))
            if name in self._clients or self._service.webdav_service.knows(name):
                continue
            try:
                client = ClientConfig.model_validate(
                    {k: v for k, v in record.items() if k in ClientConfig.model_fields}
                )
            except ConfigError as error:
                self._notes.append(f"the client {name!r} of a mirror could not be taken over: {error}")
                continue
            if not self._wish.dry_run:
                self._service.webdav_service.register(client)
            told = f"used by mirrors; its password is looked for in {record.get('password') or 'nothing'}"
            self._clients[name] = RecoveredEntry(name, Change.ADDED, "record", (told,))

    def _keep_key(self, config: BackupConfig, key: GivenKey) -> None:
        if not config.encrypt or key.reference is not None:
            return
        path = self._service.home.key_file(config.name)
        write_private_file(path, key.secret.reveal() + "\n")
        self._notes.append(f"the key of {config.name!r} is kept in {path}, which only you can read")

    def _history(
        self,
        repository: Repository,
        documents: Sequence[RecordDocument],
        snapshots: Sequence[Snapshot],
        entries: Sequence[RecoveredEntry],
    ) -> None:
        transfer = self._service.catalogue.transfer
        for document in documents:
            for area, table in TABLES.items():
                rows = document.areas.get(area, [])
                self._rows[area] += transfer.count_new(table, rows) if self._wish.dry_run else transfer.add(table, rows)
        if self._wish.dry_run:
            return
        there = {str(snapshot.id) for snapshot in snapshots}
        self._service.catalogue.evidence.back(sorted(there))
        lost = [
            row_of(repository.id, known) for d in documents for known in d.snapshots if known.snapshot_id not in there
        ]
        self._service.catalogue.evidence.note(
            [row for row in lost if row is not None],
            Fate.VANISHED,
            at=self._service.clock.now(),
            hostname=default_hostname(),
        )
        vanished = self._service.catalogue.evidence.gone(repository_id=repository.id, fate=Fate.VANISHED)
        self._vanished += [vanished_sentence(row) for row in vanished]

    def _mirror(self, repository: Repository, key: GivenKey, entries: Sequence[RecoveredEntry]) -> None:
        for entry in entries:
            if entry.change is not Change.KEPT:
                config = self._service.configurations.get(entry.name)
                self._service.known.mirror(OpenRepository(repository, config, FoundKey(key.secret, key.source)))


def _same(one: dict[str, object], other: dict[str, object], aside: Sequence[str]) -> bool:
    return {k: v for k, v in one.items() if k not in aside} == {k: v for k, v in other.items() if k not in aside}


def _machines(document: RecordDocument) -> set[str]:
    """Machines that a record tells of: the one that wrote it, and those whose configurations are in it, when several
    share a catalogue."""
    return {document.hostname} | {str(record["host"]) for record in document.configurations if record.get("host")}
