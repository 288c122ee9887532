"""Which key opens a configuration's repository, and the making of keys that nobody gave."""

from __future__ import annotations

import base64
import logging
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from backup_core.config.home import Home
from backup_core.config.secrets import resolve_secret, stored_form
from backup_core.deferred import dataclass
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


def sources_of(name: str, named: str | Secret | None, home: Home, environment: Mapping[str, str]) -> list[str | Secret]:
    """Where the key of the configuration ``name`` may be had, most likely first: only where it says itself (``named``),
    else in ``DAVAULT_KEY`` and in its own key file, as far as there are these."""
    if named is not None:
        return [named]
    variable = [f"env:{KEY_VARIABLE}"] if environment.get(KEY_VARIABLE) else []
    path = home.key_file(name)
    return [*variable, *([f"file:{path}"] if path.exists() else [])]


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
        found = self._own(config, config.encrypt_key)
        if config.encrypt_key is not None:
            return found
        for other in self._configurations.sharing(config):
            if other.encrypt:
                found += self._own(other, other.encrypt_key or None)
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

    def _own(self, config: BackupConfig, named: str | Secret | None) -> list[FoundKey]:
        what = f"the key of configuration {config.name!r}"
        return [
            FoundKey(resolve_secret(source, what=what, environment=self._environment), stored_form(source) or "")
            for source in sources_of(config.name, named, self._home, self._environment)
        ]
