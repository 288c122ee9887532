"""The backup configurations that are known: stored in the catalogue, literal keys in memory only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from backup_core.catalogue.catalogue import Catalogue
from backup_core.catalogue.rows import ConfigurationRow
from backup_core.clock import Clock
from backup_core.config.hosts import HOST_VARIABLE, this_host
from backup_core.config.secrets import IN_MEMORY
from backup_core.config.stored import stored_configuration
from backup_core.errors import ConfigError
from backup_core.services.webdav_service import WebDAVService
from backup_core.types import Secret

if TYPE_CHECKING:
    from backup_core.config.models import BackupConfig


class Configurations:
    """All configurations of one catalogue."""

    def __init__(self, catalogue: Catalogue, webdav: WebDAVService, clock: Clock) -> None:
        self._setups = catalogue.setups
        self._webdav = webdav
        self._clock = clock
        self._literals: dict[str, Secret] = {}

    def add(self, config: BackupConfig, *, replace: bool = False) -> None:
        """Remember a configuration. ``ConfigError`` when its name is taken and ``replace`` is not set, when its client
        is unknown, or when a pattern is broken: every problem at once."""
        problems = _pattern_problems(config)
        if not self._webdav.knows(config.target_client_id):
            problems.append(f"target_client_id: there is no client {config.target_client_id!r}; add it first")
        if problems:
            raise ConfigError(f"backup configuration {config.name!r} is not valid", problems=problems)
        if not replace and self._setups.configuration(config.name) is not None:
            raise ConfigError(f"there is a configuration {config.name!r} already; replacing it must be asked for")
        self._setups.save_configuration(
            config.name,
            config.record(),
            self._clock.now(),
            client=config.target_client_id,
            target_path=config.target_path,
        )
        if isinstance(config.encrypt_key, Secret):
            self._literals[config.name] = config.encrypt_key
        else:
            self._literals.pop(config.name, None)

    def find(self, name: str) -> BackupConfig | None:
        """One configuration, None when there is none of this name."""
        record = self._record(name)
        return None if record is None else _model(record)

    def get(self, name: str) -> BackupConfig:
        """One configuration; ``ConfigError`` when there is none of this name."""
        return _model(self._known_record(name))

    def stored(self, name: str) -> BackupConfig:
        """The same as it was stored, for work that only reads it (``config.stored``)."""
        return stored_configuration(self._known_record(name))

    def all(self) -> list[BackupConfig]:
        """All configurations, by name."""
        return [_model(self._with_literal(row)) for row in self._setups.configurations()]

    def all_stored(self) -> list[BackupConfig]:
        """The same as they were stored, for work that only reads them."""
        return [stored_configuration(self._with_literal(row)) for row in self._setups.configurations()]

    def of_this_host(self) -> list[BackupConfig]:
        """Those that this machine may back up, by name."""
        here = this_host()
        return [config for config in self.all() if config.is_of(here)]

    def names(self) -> list[str]:
        """All names, sorted."""
        return [row.name for row in self._setups.configurations()]

    def sharing(self, config: BackupConfig) -> list[BackupConfig]:
        """The other configurations that use the same repository, as they were stored."""
        return [c for c in self.all_stored() if c.place == config.place and c.name != config.name]

    def remove(self, name: str) -> None:
        """Forget a configuration; ``ConfigError`` when it is unknown."""
        if not self._setups.remove_configuration(_normal(name)):
            raise ConfigError(f"there is no configuration {name!r}")
        self._literals.pop(_normal(name), None)

    def _known_record(self, name: str) -> dict[str, Any]:
        record = self._record(name)
        if record is None:
            known = self.names()
            raise ConfigError(
                f"there is no configuration {name!r}" + (f"; there are: {', '.join(known)}" if known else "")
            )
        return record

    def _record(self, name: str) -> dict[str, Any] | None:
        row = self._setups.configuration(_normal(name))
        return None if row is None else self._with_literal(row)

    def _with_literal(self, row: ConfigurationRow) -> dict[str, Any]:
        """The record of a configuration, with the key that lives here alone."""
        if row.record.get("encrypt_key") == IN_MEMORY and row.name in self._literals:
            return {**row.record, "encrypt_key": self._literals[row.name]}
        return row.record


def _model(record: dict[str, Any]) -> BackupConfig:
    from backup_core.config.models import BackupConfig

    return BackupConfig.model_validate(record)


def refuse_elsewhere(config: BackupConfig) -> None:
    """Raise ``ConfigError`` when a configuration belongs to another machine: its sources are paths of that one, and
    what lies there on this machine would be stored as if it were theirs."""
    here = this_host()
    if not config.is_of(here):
        raise ConfigError(
            f"configuration {config.name!r} belongs to the machine {config.host!r}, and this is {here!r}: back it up "
            f"there, or set {HOST_VARIABLE}={config.host} if this machine has taken its place"
        )


def _normal(name: str) -> str:
    import unicodedata

    return unicodedata.normalize("NFC", name)


def _pattern_problems(config: BackupConfig) -> list[str]:
    from backup_core.engine.filters import Patterns

    problems: list[str] = []
    for field in ("include_patterns", "exclude_patterns"):
        try:
            Patterns(getattr(config, field), ())
        except ConfigError as error:
            problems += [f"{field}: {problem}" for problem in error.problems or (str(error),)]
    return problems
