"""Clients (accounts on servers) and backup configurations, checked when they are made.

Wrong values raise ``ConfigError`` that lists every problem at once; a value that may be secret is never repeated in it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationInfo, field_validator

from backup_core.config import rules
from backup_core.config.checked import Checked, Name, SecretSource, Size, checked
from backup_core.config.clients import ClientConfig
from backup_core.config.commands import CommandConfig, Hooks, collisions
from backup_core.config.facts import ConfigurationFacts
from backup_core.config.mirrors import MirrorConfig
from backup_core.config.secrets import stored_form

__all__ = ["BackupConfig", "ClientConfig", "MirrorConfig"]

_MIB = 1024 * 1024

Count = Annotated[int, Field(ge=0)]
"""How many of something; 0 is none."""


class BackupConfig(ConfigurationFacts, Checked):
    """What is backed up, where to, and how. All but the name, the sources and the target has a default."""

    name: Name
    command_sources: list[CommandConfig] = Field(default_factory=list)
    """Commands whose standard output is stored as a file. When one fails there is no backup. (Here, because fields are
    checked in their order.)"""
    source_paths: list[str]
    """Files and directories of this machine; "~" is expanded and relative ones are made absolute when given. There may
    be none when there are ``command_sources``."""
    host: Annotated[str, checked(rules.host)] = ""
    """Label of the machine whose files these are (``config.hosts``), which alone backs them up; "" is any machine."""
    target_client_id: Name
    """Name of the client to store at."""
    target_path: Annotated[str, checked(rules.target_path)]
    """Folder below the client's URL that holds the repository. Configurations may share one."""
    include_patterns: list[Annotated[str, checked(rules.pattern)]] = Field(default_factory=list)
    """Only files matching one of these are kept (empty: all). gitignore style."""
    exclude_patterns: list[Annotated[str, checked(rules.pattern)]] = Field(default_factory=list)
    """Files and directories matching one of these are left out."""
    encrypt: bool = True
    """False stores with an empty password: anybody who can read the server can read the files."""
    encrypt_key: SecretSource = None
    """A reference (env:, file:, keyring:, prefect:), or a literal kept in memory only. None: DAVAULT_KEY, or a key
    file made at first use."""
    compression: bool = True
    incremental: bool = True
    """What a backup is when nobody says: incremental, or else full."""
    max_versions: Annotated[int, Field(ge=1)] | None = None
    """How many of the newest backups to keep; None keeps all, unless one of the ``keep_`` fields says otherwise."""
    schedule_time: Annotated[str, checked(rules.time_of_day)] | None = None
    """"HH:MM", local time, every day; None is never."""
    auto_delete_old: bool = True
    """Forget the backups that neither ``max_versions`` nor a ``keep_`` field keeps, after each good backup (nothing
    when none of them is set)."""

    keep_last: Count = 0
    """The newest N backups. This and the fields below add to ``max_versions``: what any of them keeps stays."""
    keep_hourly: Count = 0
    """The newest backup of each of the last N hours that have one; the same for the longer periods."""
    keep_daily: Count = 0
    keep_weekly: Count = 0
    keep_monthly: Count = 0
    keep_yearly: Count = 0
    keep_within: Annotated[str, checked(rules.span)] | None = None
    """All backups at most so much older than the newest one, such as "30d" or "1y6m"."""
    keep_tags: list[str] = Field(default_factory=list)
    """All backups that carry one of these tags."""
    keep_at_least: Annotated[int, Field(ge=1)] = 1
    """The newest N stay whatever the other rules say."""

    mirrors: list[MirrorConfig] = Field(default_factory=list)
    """Second places with copies of the backups; a restore takes from them what the first one cannot give."""

    hooks: Hooks = Field(default_factory=Hooks)
    """Commands before and after each backup, and when it fails."""
    sqlite_backup: bool = True
    """Take SQLite databases through SQLite's own online backup; False reads their files like any others."""
    exclude_caches: bool = True
    """Leave out what lies in directories tagged by CACHEDIR.TAG."""
    exclude_if_present: list[str] = Field(default_factory=lambda: [".nobackup"])
    """Leave out what lies beside a file of such a name."""
    max_file_size: Annotated[Size, Field(ge=1)] | None = None
    """Bytes; larger files are left out."""
    one_file_system: bool = False
    """Do not cross into other mounted file systems."""
    case_insensitive: bool = False
    """Patterns ignore case."""
    compression_level: Annotated[int, Field(ge=1, le=22)] = 3
    """zstd level."""
    pack_size: Annotated[Size, Field(ge=4 * _MIB, le=128 * _MIB)] | None = None
    """Bytes at which a pack file is closed; None leaves it to the provider's profile."""
    parity: Annotated[str, checked(rules.share)] | None = None
    """Store so much parity beside the packs, such as "5%", to rebuild damaged or lost ones from; None: none."""
    workers: Annotated[int, Field(ge=1, le=256)] | None = None
    """How many workers read and compress; None: as many as the machine has processors."""

    @classmethod
    def _noun(cls) -> str:
        return "backup configuration"

    def _contradictions(self) -> list[str]:
        places = [mirror.place for mirror in self.mirrors]
        problems = [
            f"mirrors: {m.shown} is the place of the backups themselves" for m in self.mirrors if m.place == self.place
        ]
        problems += collisions(self.source_paths, self.command_sources)
        return problems + [f"mirrors: {m.shown} is named twice" for m in self.mirrors if places.count(m.place) > 1]

    @field_validator("source_paths", mode="before")
    @classmethod
    def _absolute_sources(cls, value: object, info: ValidationInfo) -> object:
        if not isinstance(value, (list, tuple)):
            return value
        if not value and not info.data.get("command_sources"):
            raise ValueError("at least one source is needed, or a command source")
        return [rules.source_path(str(v)) if isinstance(v, (str, Path)) else v for v in value]

    def record(self) -> dict[str, Any]:
        """The configuration as plain values without any secret, ready to be stored; constructing from it reads it."""
        return {**self.model_dump(exclude={"encrypt_key"}), "encrypt_key": stored_form(self.encrypt_key)}
