"""Which key opens a configuration's repository, and the making of keys that nobody gave."""

from __future__ import annotations

import base64
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backup_core.config.home import Home
from backup_core.config.secrets import resolve_secret, stored_form
from backup_core.services.private_files import write_private_file
from backup_core.types import Secret

if TYPE_CHECKING:
    from backup_core.config.models import BackupConfig
    from backup_core.services.configurations import Configurations

KEY_VARIABLE = "DAVAULT_KEY"
"""Environment variable with the key of configurations that name none."""

_KEY_BYTES = 32
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FoundKey:
    """A key, and where it comes from."""

    secret: Secret
    source: str
    """A reference, for people."""


NO_KEY = FoundKey(Secret(""), "none: not encrypted")
"""The empty password by which a repository is opened that is not encrypted."""


class Keys:
    """Finds and makes keys for the configurations of one home."""

    def __init__(
        self,
        home: Home,
        configurations: Configurations,
        *,
        random_bytes: Callable[[int], bytes] = os.urandom,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._home = home
        self._configurations = configurations
        self._random_bytes = random_bytes
        self._environment = os.environ if environment is None else environment

    def candidates(self, config: BackupConfig) -> list[FoundKey]:
        """The keys to try, most likely first; empty when there is none yet.

        A key that the configuration names is the only candidate, and ``ConfigError`` says why it cannot be had.
        Otherwise: ``DAVAULT_KEY``, the configuration's own key file, and the keys of those sharing its repository.
        """
        if not config.encrypt:
            return [NO_KEY]
        if config.encrypt_key is not None:
            return [self._named(config, config.encrypt_key)]
        found = []
        if self._environment.get(KEY_VARIABLE):
            found.append(FoundKey(Secret(self._environment[KEY_VARIABLE]), f"env:{KEY_VARIABLE}"))
        found += self._from_file(config)
        for other in self._configurations.sharing(config):
            if other.encrypt:
                found += [self._named(other, other.encrypt_key)] if other.encrypt_key else self._from_file(other)
        return list(dict.fromkeys(found))

    def make(self, config: BackupConfig) -> tuple[FoundKey, str]:
        """Make a strong key in the home, and the sentence that tells people to keep it safe."""
        path = self._home.key_file(config.name)
        write_private_file(path, base64.urlsafe_b64encode(self._random_bytes(_KEY_BYTES)).decode().rstrip("=") + "\n")
        warning = (
            f"a new key for {config.name!r} was made in {path}. WITHOUT THIS FILE NOBODY CAN READ THE BACKUPS: "
            "copy it to a safe place away from this machine, now"
        )
        _LOG.warning("%s", warning)
        return FoundKey(resolve_secret(f"file:{path}", what="the new key"), f"file:{path}"), warning

    def _named(self, config: BackupConfig, source: str | Secret) -> FoundKey:
        secret = resolve_secret(source, what=f"the key of configuration {config.name!r}", environment=self._environment)
        return FoundKey(secret, stored_form(source) or "")

    def _from_file(self, config: BackupConfig) -> list[FoundKey]:
        path = self._home.key_file(config.name)
        if not path.exists():
            return []
        source = f"file:{path}"
        return [FoundKey(resolve_secret(source, what=f"the key of configuration {config.name!r}"), source)]
