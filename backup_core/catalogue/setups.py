"""What people set up: clients, configurations and single settings."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlmodel import select

from backup_core.catalogue.database import Database
from backup_core.catalogue.models import ClientRow, ConfigurationRow, SettingRow


class Setups:
    """Clients, configurations and settings. Records are plain values; what they mean is their owner's business."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save_client(self, name: str, record: dict[str, Any], now: datetime) -> None:
        """Add or replace a client."""
        with self._database.writing() as session:
            known = session.get(ClientRow, name)
            session.merge(
                ClientRow(name=name, record=record, created_at=known.created_at if known else now, updated_at=now)
            )

    def client(self, name: str) -> ClientRow | None:
        """One client."""
        with self._database.reading() as session:
            return session.get(ClientRow, name)

    def clients(self) -> list[ClientRow]:
        """All clients, by name."""
        with self._database.reading() as session:
            return list(session.exec(select(ClientRow).order_by(ClientRow.name)))

    def remove_client(self, name: str) -> bool:
        """Forget a client; False when it was unknown."""
        with self._database.writing() as session:
            row = session.get(ClientRow, name)
            if row is not None:
                session.delete(row)
            return row is not None

    def save_configuration(
        self, name: str, record: dict[str, Any], now: datetime, *, client: str, target_path: str
    ) -> None:
        """Add or replace a configuration."""
        with self._database.writing() as session:
            known = session.get(ConfigurationRow, name)
            session.merge(
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
        with self._database.reading() as session:
            return session.get(ConfigurationRow, name)

    def configurations(self) -> list[ConfigurationRow]:
        """All configurations, by name."""
        with self._database.reading() as session:
            return list(session.exec(select(ConfigurationRow).order_by(ConfigurationRow.name)))

    def remove_configuration(self, name: str) -> bool:
        """Forget a configuration (not its manifests and runs); False when it was unknown."""
        with self._database.writing() as session:
            row = session.get(ConfigurationRow, name)
            if row is not None:
                session.delete(row)
            return row is not None

    def setting(self, key: str) -> Any:
        """A single value, None when it was never set."""
        with self._database.reading() as session:
            row = session.get(SettingRow, key)
            return None if row is None else row.value

    def set(self, key: str, value: Any) -> None:
        """Keep a single value (any JSON value but null)."""
        with self._database.writing() as session:
            session.merge(SettingRow(key=key, value=value))
