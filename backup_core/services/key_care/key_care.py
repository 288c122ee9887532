"""The keys of a configuration's repository.

A key is replaced in an order that never leaves anybody without one: the new key is somewhere it will be found again,
then it opens the repository, then the configurations name it, and only then the old one is taken away.
"""

from __future__ import annotations

import base64
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from backup_core.config.home import file_stem
from backup_core.config.mirrors import MirrorConfig
from backup_core.config.models import BackupConfig
from backup_core.config.secrets import IN_MEMORY, is_reference, resolve_secret
from backup_core.config.strength import weakness
from backup_core.deferred import dataclass
from backup_core.errors import BackupError, ConfigError
from backup_core.format.kdf import ScryptParameters
from backup_core.progress import CancelToken, ProgressSink, no_progress
from backup_core.repository.key_files import KeyFiles, KeyInfo
from backup_core.services.keys import FoundKey
from backup_core.services.moments import to_local
from backup_core.services.private_files import write_private_file
from backup_core.types import KeyId, Secret

if TYPE_CHECKING:
    from backup_core.services.backup_service import BackupService
    from backup_core.services.key_care.rotation import Rotated

_LOG = logging.getLogger(__name__)
_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class KeyChange:
    """What was done to the keys of a repository."""

    key_id: KeyId
    """Of the key that was added or removed."""
    configurations: tuple[str, ...] = ()
    """Those that take their key from another place now."""
    reference: str = ""
    """Where from."""
    notes: tuple[str, ...] = ()


class KeyCare:
    """Looks after the keys of repositories. All methods raise what opening a repository raises."""

    def __init__(self, service: BackupService) -> None:
        self._service = service

    def list(self, config_name: str) -> list[KeyInfo]:
        """The keys of a configuration's repository, the oldest first."""
        with self._service.repositories.opened(self.encrypted(config_name)) as opened:
            return KeyFiles(opened.repository).list()

    def add(self, config_name: str, reference: str, *, cost: ScryptParameters | None = None) -> KeyChange:
        """Let another password open the repository too. ``reference`` says where it is."""
        password = resolve_secret(reference, what="the new key")
        with self._service.repositories.opened(self.encrypted(config_name)) as opened:
            key = KeyFiles(opened.repository).add(password, cost=cost)
        _LOG.info("added the key %s to the repository of %s", key[:8], config_name)
        return KeyChange(key, reference=reference, notes=tuple(_warnings(password)))

    def remove(self, config_name: str, key_id: str) -> KeyChange:
        """Take a key away, given by the beginning of its id; never the one that the configuration itself uses."""
        with self._service.repositories.opened(self.encrypted(config_name)) as opened:
            key = KeyFiles(opened.repository).remove(key_id)
        _LOG.info("removed the key %s from the repository of %s", key[:8], config_name)
        return KeyChange(key)

    def change(
        self, config_name: str, reference: str | None = None, *, cost: ScryptParameters | None = None
    ) -> KeyChange:
        """Replace the key of a configuration, and of those that share its repository and key.

        ``reference`` says where the new one is; without it one is made in the home. Raises ``LockHeld`` when somebody
        uses the repository. Interrupted, the old one still opens, and the change can be done again.
        """
        config = self.encrypted(config_name)
        repositories = self._service.repositories
        with repositories.opened(config) as opened:
            reference = reference or f"file:{self.generate(self.new_file(config))}"
            password = resolve_secret(reference, what="the new key")
            if password == opened.key.secret:
                raise ConfigError("the new key is the old one")
            keys = KeyFiles(opened.repository)
            with opened.repository.lock(exclusive=True):
                old, new = opened.repository.key_id, keys.add(password, cost=cost)
                renamed = self._point_to(reference, config, opened.key)
                opened.repository.key_id = new
                keys.remove(old)
        _LOG.info("replaced the key of %s", ", ".join(renamed))
        return KeyChange(new, renamed, reference, self._advice(config, reference, password))

    def rotate(
        self,
        config_name: str,
        *,
        path: str,
        client: str | None = None,
        reference: str | None = None,
        cancel: CancelToken | None = None,
        progress: ProgressSink = no_progress,
    ) -> Rotated:
        """Put a repository with another master key in place of a configuration's; see ``rotation.rotate``."""
        from backup_core.services.key_care.rotation import rotate

        return rotate(
            self._service,
            self,
            config_name,
            path=path,
            client=client,
            reference=reference,
            cancel=cancel,
            progress=progress,
        )

    def generate(self, path: Path) -> Path:
        """Make a strong key in a new file that only its owner may read."""
        if path.exists():
            raise ConfigError(f"{path} exists already; a key is never overwritten")
        text = base64.urlsafe_b64encode(self._service.random_bytes(_KEY_BYTES)).decode().rstrip("=")
        write_private_file(path, text + "\n")
        return path

    # ---- inside

    def encrypted(self, config_name: str) -> BackupConfig:
        """The configuration; ``ConfigError`` when it does not encrypt."""
        config = self._service.configurations.get(config_name)
        if not config.encrypt:
            raise ConfigError(
                f"the repository of {config.name!r} is not encrypted: everybody can open it, whatever keys it has. "
                "Back up into a new one with encryption instead"
            )
        return config

    def new_file(self, config: BackupConfig) -> Path:
        """A path in the home for another key of a configuration."""
        now = to_local(self._service.clock.now())
        stem = self._service.home.keys / f"{file_stem(config.name)}-{now:%Y%m%d-%H%M%S}"
        paths = (Path(f"{stem}{suffix}.key") for suffix in ("", *(f"-{n}" for n in range(2, 100))))
        return next(path for path in paths if not path.exists())

    def _point_to(self, reference: str, config: BackupConfig, old: FoundKey) -> tuple[str, ...]:
        """Have all configurations that open this repository with ``old`` name the new key; their names."""
        renamed = []
        for one in [config, *self._service.configurations.sharing(config)]:
            if one.encrypt and (one.name == config.name or self._opens_with(one, old.secret)):
                changes = {"encrypt_key": reference, "mirrors": with_own_keys(one, old)}
                self._service.configurations.add(one.model_copy(update=changes), replace=True)
                renamed.append(one.name)
        return tuple(renamed)

    def _opens_with(self, config: BackupConfig, secret: Secret) -> bool:
        try:
            return any(key.secret == secret for key in self._service.keys.candidates(config))
        except BackupError:
            return False  # a key that cannot be had opens nothing

    def _advice(self, config: BackupConfig, reference: str, password: Secret) -> tuple[str, ...]:
        notes = _warnings(password)
        notes.append(
            f"the key is now that of {reference}: keep a copy of it away from this machine. Recovery kits and copies "
            "of the old key open the repository no more"
        )
        if config.mirrors:
            places = ", ".join(mirror.shown for mirror in config.mirrors)
            notes.append(f"the copies at {places} still open with the old key, so keep that, too")
        notes.append(
            "whoever has a copy of a key file and its password could keep the repository's master key: if the old key "
            "has leaked together with access to the server, use davault key rotate"
        )
        return tuple(notes)


def with_own_keys(config: BackupConfig, old: FoundKey) -> list[MirrorConfig]:
    """The mirrors of a configuration that gets another key: those that had its key keep the old one."""
    if not is_reference(old.source) or old.source == IN_MEMORY:
        return config.mirrors
    return [m if m.key is not None else m.model_copy(update={"key": old.source}) for m in config.mirrors]


def _warnings(password: Secret) -> list[str]:
    weak = weakness(password)
    return [f"this key is weak: {weak}. Anybody who can read the server can try passwords"] if weak else []
