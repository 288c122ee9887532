"""What people set up: clients, configurations and single settings."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from backup_core.catalogue.rows import ClientRow, ConfigurationRow, SettingRow
from backup_core.catalogue.statements import Store


class Setups:
    """Clients, configurations and settings. Records are plain values; what they mean is their owner's business."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def save_client(self, name: str, record: dict[str, Any], now: datetime) -> None:
        """Add or replace a client."""
        with self._store.writing() as statements:
            known = statements.get(ClientRow, name)
            begun = known.created_at if known else now
            statements.put(ClientRow(name=name, record=record, created_at=begun, updated_at=now))

    def client(self, name: str) -> ClientRow | None:
        """One client."""
        with self._store.reading() as statements:
            return statements.get(ClientRow, name)

    def clients(self) -> list[ClientRow]:
        """All clients, by name."""
        with self._store.reading() as statements:
            return statements.find(ClientRow, order=("name",))

    def remove_client(self, name: str) -> bool:
        """Forget a client; False when it was unknown."""
        with self._store.writing() as statements:
            known = statements.get(ClientRow, name) is not None
            statements.remove(ClientRow, {"name": name})
            return known

    def save_configuration(
        self, name: str, record: dict[str, Any], now: datetime, *, client: str, target_path: str
    ) -> None:
        """Add or replace a configuration."""
        with self._store.writing() as statements:
            known = statements.get(ConfigurationRow, name)
            statements.put(
                ConfigurationRow(
                    name=name,
                    client=client,
                    target_path=target_path,
                    record=record,
                    created_at=known.created_at if known else now,
                    updated_at=now,
                )
            )

    def configuration(self, name: str) -> ConfigurationRow | None:
        """One configuration."""
        with self._store.reading() as statements:
            return statements.get(ConfigurationRow, name)

    def configurations(self) -> list[ConfigurationRow]:
        """All configurations, by name."""
        with self._store.reading() as statements:
            return statements.find(ConfigurationRow, order=("name",))

    def remove_configuration(self, name: str) -> bool:
        """Forget a configuration (not its manifests and runs); False when it was unknown."""
        with self._store.writing() as statements:
            known = statements.get(ConfigurationRow, name) is not None
            statements.remove(ConfigurationRow, {"name": name})
            return known

    def setting(self, key: str) -> Any:
        """A single value, None when it was never set."""
        with self._store.reading() as statements:
            row = statements.get(SettingRow, key)
            return None if row is None else row.value

    def settings(self, prefix: str) -> dict[str, Any]:
        """The values whose keys begin so."""
        rest = ' WHERE substr("key", 1, :length) = :prefix'
        with self._store.reading() as statements:
            found = statements.chosen(SettingRow, rest, {"length": len(prefix), "prefix": prefix})
        return {row.key: row.value for row in found}

    def set(self, key: str, value: Any) -> None:
        """Keep a single value (any JSON value but null)."""
        with self._store.writing() as statements:
            statements.put(SettingRow(key=key, value=value))
