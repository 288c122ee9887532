"""Clients and configurations as the catalogue has them, for work that only reads them.

What is in the catalogue was checked when it was stored. Loading what checks it, and checking it again, is a third of
all loading that a short command does; so work is given records that stand for the models. Whatever plain fields cannot
answer is asked of the model itself, which is loaded then. People are always given the models.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from backup_core.config.facts import ConfigurationFacts
from backup_core.config.secrets import stored_form

if TYPE_CHECKING:
    from pydantic import BaseModel

    from backup_core.config.models import BackupConfig, ClientConfig

SECRETS = ("password", "token", "client_key_password", "proxy_password")
"""Fields of a client that hold a reference to a secret, or in memory the secret itself."""
_CONFIGURATION_SECRETS = ("encrypt_key",)


def stored_client(record: Mapping[str, Any]) -> ClientConfig:
    """The client of a stored record, whose secrets may have been put into it."""
    return cast("ClientConfig", _StoredClient(record))


def stored_configuration(record: Mapping[str, Any]) -> BackupConfig:
    """The configuration of a stored record, whose key may have been put into it."""
    return cast("BackupConfig", _StoredConfiguration(record))


class _Stored(ABC):
    """Stands for a model: has its fields, and all else from the model itself."""

    _PARTS: frozenset[str] = frozenset()
    """Fields that hold models of their own."""

    def __init__(self, record: Mapping[str, Any]) -> None:
        self._record = record

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name in self._record and not (name in self._PARTS and self._record[name]):
            return self._record[name]
        return getattr(self._model, name)

    @property
    @abstractmethod
    def _model(self) -> BaseModel:
        """The model, checked and loaded when it is first asked for."""


class _StoredClient(_Stored):
    @cached_property
    def _model(self) -> BaseModel:
        from backup_core.config.clients import ClientConfig

        return ClientConfig.model_validate(self._record)

    def record(self) -> dict[str, Any]:
        return _without_secrets(self._record, SECRETS)


class _StoredHooks(_Stored):
    @cached_property
    def _model(self) -> BaseModel:
        from backup_core.config.commands import Hooks

        return Hooks.model_validate(self._record)


class _StoredConfiguration(_Stored, ConfigurationFacts):
    _PARTS = frozenset({"command_sources", "mirrors"})

    @cached_property
    def _model(self) -> BaseModel:
        from backup_core.config.models import BackupConfig

        return BackupConfig.model_validate(self._record)

    @property
    def hooks(self) -> _Stored:
        return _StoredHooks(self._record.get("hooks", {}))

    def record(self) -> dict[str, Any]:
        return _without_secrets(self._record, _CONFIGURATION_SECRETS)


def _without_secrets(record: Mapping[str, Any], fields: tuple[str, ...]) -> dict[str, Any]:
    return {**record, **{field: stored_form(record[field]) for field in fields if field in record}}
