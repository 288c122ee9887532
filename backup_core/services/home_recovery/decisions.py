"""From records and snapshots to clients and configurations that work on this machine. Decides only; changes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import unquote

from backup_core.config.models import BackupConfig, ClientConfig
from backup_core.deferred import dataclass
from backup_core.errors import ConfigError
from backup_core.format.snapshot import Snapshot
from backup_core.services.home_recovery.wishes import GivenKey
from backup_core.services.run_records.document import RecordDocument
from backup_core.services.snapshot_facts import configuration_name
from backup_core.storage.registry import join_url

_NEVER_TAKEN = frozenset({"password", "token", "client_key_password", "proxy_password", "encrypt_key"})
"""Fields that say where a secret is on the machine that is gone."""


@dataclass(frozen=True, slots=True)
class Decided:
    """A configuration to be, with its client."""

    config: BackupConfig
    client: ClientConfig
    source: str
    """"record" or "snapshots"."""
    notes: tuple[str, ...] = ()


def decide(
    documents: Sequence[RecordDocument],
    snapshots: Sequence[Snapshot],
    *,
    account: ClientConfig,
    path: str,
    key: GivenKey,
    encrypted: bool,
) -> list[Decided]:
    """The configurations of one repository, by name. ``documents``: newest first; ``path``: its folder below the
    account's address.

    What records tell comes first. A backup that names a configuration no record tells of makes one with what the
    backup tells: its sources. Where nothing names any, one is made for the newest backup.
    """
    found: dict[str, Decided] = {}
    for document in documents:
        for record in document.configurations:
            name = str(record.get("name"))
            notes = _also_recorded(found, name, record, document)
            if name in found:
                found[name] = Decided(found[name].config, found[name].client, "record", found[name].notes + notes)
                continue
            decided = _from_record(record, document, account, path, key, encrypted=encrypted)
            if decided is not None:
                found[name] = decided
    client = next((d.client for d in found.values()), account)
    place = _target_path(client, account, path)
    for name, snapshot in _named_by_snapshots(snapshots, fallback=_last_name(path)).items():
        if name not in found and (configuration_name(snapshot) or not found):
            config = _config(
                {"name": name, "source_paths": list(snapshot.paths)}, client, place, key, encrypted=encrypted
            )
            told = (
                "no record tells how it was set up: patterns, schedule and the number of versions have their defaults"
            )
            found[name] = Decided(config, client, "snapshots", (told,))
    return [found[name] for name in sorted(found)]


def _also_recorded(
    found: dict[str, Decided], name: str, record: dict[str, Any], document: RecordDocument
) -> tuple[str, ...]:
    if name not in found:
        return ()
    mine = {k: v for k, v in found[name].config.record().items() if k in record and k not in _NEVER_TAKEN}
    theirs = {k: record[k] for k in mine}
    different = sorted(k for k in mine if mine[k] != theirs[k] and k not in ("target_client_id", "target_path"))
    if not different:
        return ()
    return (f"{document.hostname} has recorded another {', '.join(different)}; --host {document.hostname} takes that",)


def _from_record(
    record: dict[str, Any],
    document: RecordDocument,
    account: ClientConfig,
    path: str,
    key: GivenKey,
    *,
    encrypted: bool,
) -> Decided | None:
    """None for a record that makes no configuration at all."""
    known = {k: v for k, v in record.items() if k in BackupConfig.model_fields and k not in _NEVER_TAKEN}
    unknown = sorted(record.keys() - BackupConfig.model_fields.keys())
    recorded = next((c for c in document.clients if c.get("name") == record.get("target_client_id")), None)
    client = _client(recorded, account, recorded_path=str(record.get("target_path", "")), path=path)
    notes = (f"another version's fields were left out: {', '.join(unknown)}",) if unknown else ()
    place = _target_path(client, account, path)
    # A home rebuilt from a mirror has its backups there: it is no mirror of itself.
    known["mirrors"] = [
        m for m in known.get("mirrors") or [] if (m.get("client"), m.get("path")) != (client.name, place)
    ]
    try:
        config = _config(known, client, place, key, encrypted=encrypted)
    except ConfigError as error:
        minimal = {k: v for k, v in known.items() if k in ("name", "source_paths")}
        try:
            config = _config(minimal, client, place, key, encrypted=encrypted)
        except ConfigError:
            return None
        notes = (*notes, f"only its name and sources could be taken over: {error}")
    return Decided(config, client, "record", notes)


def _client(recorded: dict[str, Any] | None, account: ClientConfig, *, recorded_path: str, path: str) -> ClientConfig:
    """The account under the name and with the options that were recorded, at the address that was given."""
    given = {name: getattr(account, name) for name in account.model_fields_set}
    if recorded is None:
        return account
    options = {k: v for k, v in recorded.items() if k in ClientConfig.model_fields and k not in _NEVER_TAKEN}
    merged = options | given | {"name": recorded.get("name")}
    if _same_place(str(recorded.get("url", "")), recorded_path, account.url, path):
        merged["url"] = recorded["url"]
    try:
        return ClientConfig.model_validate(merged)
    except ConfigError:
        return account


def _target_path(client: ClientConfig, account: ClientConfig, path: str) -> str:
    """The repository's folder below the client's address, which may be another one than the account's."""
    whole = _plain(account.url, path)
    base = _plain(client.url, "")
    return whole.removeprefix(base) or "/"


def _config(
    fields: dict[str, Any], client: ClientConfig, target_path: str, key: GivenKey, *, encrypted: bool
) -> BackupConfig:
    return BackupConfig.model_validate(
        {
            **fields,
            "target_client_id": client.name,
            "target_path": target_path,
            "encrypt": encrypted,
            "encrypt_key": (key.reference or None) if encrypted else None,
        }
    )


def _same_place(url: str, path: str, other_url: str, other_path: str) -> bool:
    try:
        return _plain(url, path) == _plain(other_url, other_path)
    except ConfigError:
        return False


def _plain(url: str, path: str) -> str:
    return unquote(join_url(url, path)).rstrip("/")


def _named_by_snapshots(snapshots: Iterable[Snapshot], *, fallback: str) -> dict[str, Snapshot]:
    """Configuration -> its newest backup. ``snapshots`` are sorted by time."""
    return {configuration_name(s) or fallback: s for s in snapshots if s.paths}


def _last_name(path: str) -> str:
    return path.strip("/").rpartition("/")[2] or "recovered"
