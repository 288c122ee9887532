"""Writing the record of this installation, and reading those of all."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from backup_core.catalogue.backups import KnownBackup
from backup_core.clock import Clock
from backup_core.errors import BackupError, FormatError, NotFound
from backup_core.repository.options import default_hostname
from backup_core.repository.repository import Repository
from backup_core.repository.sealed_records import RecordName, SealedRecords
from backup_core.results import Outcome, Problem, Severity
from backup_core.services.private_files import exclusive
from backup_core.services.repositories import OpenRepository
from backup_core.services.run_records.area_names import BY_CONFIGURATION, WAITING
from backup_core.services.run_records.areas import TABLES
from backup_core.services.run_records.document import KnownSnapshot, RecordDocument, decode

if TYPE_CHECKING:
    from backup_core.config.models import BackupConfig, ClientConfig
    from backup_core.services.backup_service import BackupService

_LOG = logging.getLogger(__name__)
_STATE = "run-records:"
"""Setting: repository id -> what was written last, and what of it is on the server."""
_WRITER = "installation"
"""Setting: the 16 hex digits of this installation."""
OLD_AT_MOST = 8
"""Replaced records that may wait on the server: removing them in one go leaves most runs with one request less."""
_AT_THE_LATEST = timedelta(days=7)
"""Age at which a record is written again although only uneventful runs were added."""


class RecordKeeper:
    """Keeps the records of one home up to date in its repositories."""

    def __init__(self, service: BackupService) -> None:
        self._service = service
        self._setups = service.catalogue.setups
        self._clock: Clock = service.clock

    def keep(self, opened: OpenRepository) -> tuple[Problem, ...]:
        """Bring the record in an open repository up to date, if anything has changed that its snapshots do not tell.

        One request, none when there is nothing to tell; old records are removed by every eighth. What goes wrong is
        returned, not raised: a record is worth less than the backup it tells of.
        """
        repository = opened.repository
        if not repository.writable:
            return ()
        try:
            lock = self._service.home.lock_file(f"record {repository.id}")
            with exclusive(lock, subject="a record is being written", wait=True):
                self._keep(opened)
        except BackupError as error:
            _LOG.warning("the record of this installation could not be kept in the repository: %s", error)
            message = f"what only this machine knows could not be kept in the repository: {error}"
            return (Problem("run-record", message, severity=Severity.HINT),)
        return ()

    def kept(self, config_name: str) -> tuple[Problem, ...]:
        """``keep`` for the repository of a configuration, which is opened for it."""
        with self._service.opened(config_name) as opened:
            return self.keep(opened)

    def supersede(self, repository_id: str, names: Iterable[RecordName]) -> None:
        """The next record written holds all that these hold, because it was taken over from them: remove them then."""
        state = self._state(repository_id)
        present = dict.fromkeys([*state.get("present", ()), *(name.path for name in names)])
        self._setups.set(self._own(_STATE + repository_id), {**state, "present": list(present), "fingerprint": ""})

    def writer(self) -> str:
        """The id of this installation, made when first asked for."""
        known = self._setups.setting(self._own(_WRITER))
        if not known:
            known = self._service.random_bytes(8).hex()
            self._setups.set(self._own(_WRITER), known)
        return str(known)

    def document(self, opened: OpenRepository) -> RecordDocument:
        """What would be written now."""
        repository_id = opened.repository.id
        configs = [opened.config, *self._service.configurations.sharing(opened.config)]
        names = sorted(config.name for config in configs)
        rows = self._service.catalogue.manifests.listed(repository_id=repository_id)
        transfer = self._service.catalogue.transfer
        return RecordDocument(
            repository_id=repository_id,
            writer=self.writer(),
            hostname=default_hostname(),
            written_at=self._clock.now().isoformat(),
            program=_program(),
            clients=tuple(client.record() for client in self._clients(configs)),
            configurations=tuple(sorted((c.record() for c in configs), key=lambda record: str(record["name"]))),
            snapshots=tuple(_known(row) for row in rows),
            areas={
                name: transfer.export(table, names if table.owner == BY_CONFIGURATION else [repository_id])
                for name, table in TABLES.items()
            },
        )

    def _clients(self, configs: Sequence[BackupConfig]) -> list[ClientConfig]:
        """The accounts that these configurations and their mirrors use, by name."""
        names = {config.target_client_id for config in configs} | {m.client for c in configs for m in c.mirrors}
        return [c for c in self._service.webdav_service.all_stored() if c.name in names]

    def _keep(self, opened: OpenRepository) -> None:
        repository = opened.repository
        document = self.document(opened)
        state = self._state(repository.id)
        fingerprint = _fingerprint(document)
        now = self._clock.now()
        if fingerprint == state.get("fingerprint") and not _is_old(state.get("written_at"), now):
            return
        # The seconds of the clock, so that a catalogue brought back from a copy does not count the same number twice.
        number = max(int(state.get("number", 0)) + 1, int(now.timestamp()))
        name = RecordName(document.writer, number)
        records = SealedRecords(repository)
        size = records.write(name, document.encode())
        _LOG.debug("wrote the record %s, %d bytes", name.path, size)
        old = [path for path in state.get("present", ()) if path != name.path]
        state = {
            "number": number, "fingerprint": fingerprint, "written_at": now.isoformat(), "present": [*old, name.path],
        }  # fmt: skip
        self._setups.set(self._own(_STATE + repository.id), state)
        gone = [known for path in old if (known := RecordName.parse(path)) is not None]
        if len(gone) >= OLD_AT_MOST or any(known.writer != name.writer for known in gone):
            for known in gone:
                records.delete(known)
            self._setups.set(self._own(_STATE + repository.id), {**state, "present": [name.path]})

    def _own(self, key: str) -> str:
        """The key of a setting that each machine has for itself, also where several share the catalogue: two that wrote
        records under one name at the same time would lose count of them."""
        return f"{key}@{default_hostname()}" if self._service.catalogue.shared else key

    def _state(self, repository_id: str) -> dict[str, Any]:
        state = self._setups.setting(self._own(_STATE + repository_id))
        return state if isinstance(state, dict) else {}


def newest_records(
    repository: Repository, *, without: str = "", problems: list[Problem] | None = None
) -> dict[RecordName, RecordDocument]:
    """The newest readable record of each installation but ``without``.

    One that is damaged is passed over for an older one and noted in ``problems``. Raises ``ListingUnproved``.
    """
    records = SealedRecords(repository)
    found: dict[RecordName, RecordDocument] = {}
    done: set[str] = {without}
    for name in reversed(records.list()):
        if name.writer in done:
            continue
        try:
            document = decode(records.read(name))
        except NotFound:
            continue  # replaced by its successor since the directory was read
        except FormatError as error:
            if problems is not None:
                problems.append(Problem("record", str(error), object_id=name.path))
            continue
        if document.repository_id == repository.id:
            done.add(name.writer)
            found[name] = document
    return found


def _known(row: KnownBackup) -> KnownSnapshot:
    return KnownSnapshot(row.snapshot_id, row.backup_id, row.configuration, row.created_at.isoformat())


def _fingerprint(document: RecordDocument) -> str:
    """What must be equal for a record to be still good: all of it but uneventful runs and what every run adds."""
    quiet = {str(run.get("snapshot_id")) for run in document.areas.get("runs", ()) if _is_quiet(run)}
    # Of runs only which there were and how they ended: the requests of the last one are counted to the very end.
    runs = [
        [run.get(name) for name in ("kind", "configuration", "started_at", "hostname", "outcome")]
        for run in document.areas.get("runs", ())
        if not _is_quiet(run)
    ]
    values = [
        document.writer,
        document.hostname,
        document.clients,
        document.configurations,
        sorted(s.snapshot_id for s in document.snapshots if s.snapshot_id not in quiet),
        {name: rows for name, rows in document.areas.items() if name not in WAITING} | {"runs": runs},
    ]
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _is_quiet(run: Mapping[str, Any]) -> bool:
    """A backup that found nothing new."""
    figures = run.get("figures") or {}
    return (
        run.get("kind") == "backup"
        and run.get("outcome") == Outcome.COMPLETED.value
        and not any(figures.get(name) for name in ("files_new", "files_changed", "data_added", "problems"))
    )


def _is_old(written_at: str | None, now: datetime) -> bool:
    return written_at is None or now - datetime.fromisoformat(written_at) > _AT_THE_LATEST


def _program() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"davault {version('davault')}"
    except PackageNotFoundError:
        return "davault"
