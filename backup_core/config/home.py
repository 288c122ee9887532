"""Where everything of one installation lies: the home directory and its rooms."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from backup_core.deferred import dataclass
from backup_core.errors import ConfigError

HOME_VARIABLE = "DAVAULT_HOME"
"""Environment variable that names the home."""

_PRIVATE_DIRECTORY = 0o700
_LONGEST_STEM = 200
_SAFE_IN_FILE_NAMES = frozenset(" +-_.,;=@()[]{}!#$&'^~")


@dataclass(frozen=True, slots=True)
class Home:
    """One installation's directory. Two homes share nothing: each has its own catalogue, keys and caches."""

    root: Path

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Home:
        """The home named by ``DAVAULT_HOME``, else the user's data directory of this platform."""
        named = (os.environ if environment is None else environment).get(HOME_VARIABLE, "")
        if named:
            return cls.at(named)
        import platformdirs

        return cls(Path(platformdirs.user_data_dir("davault", appauthor=False)))

    @classmethod
    def at(cls, root: str | os.PathLike[str]) -> Home:
        """The home at ``root``, made absolute now, so that a later change of directory does not move it."""
        return cls(Path(root).expanduser().absolute())

    def create(self) -> Home:
        """Make the home and its rooms, readable by the owner only; an existing one is left as it is.

        Raises ``ConfigError`` when it cannot be made, or when it belongs to somebody else.
        """
        try:
            for room in (self.root, self.cache, self.logs, self.keys, self.secrets, self.locks):
                room.mkdir(mode=_PRIVATE_DIRECTORY, parents=True, exist_ok=True)
            state = self.root.stat()
            if hasattr(os, "geteuid") and state.st_uid == os.geteuid() and state.st_mode & 0o077:
                self.root.chmod(_PRIVATE_DIRECTORY)
        except OSError as error:
            raise ConfigError(
                f"the home {self.root} cannot be used ({error.strerror}); "
                f"set {HOME_VARIABLE} to a directory that you may write to"
            ) from error
        return self

    @property
    def catalogue(self) -> Path:
        """The catalogue's SQLite file."""
        return self.root / "catalogue.db"

    @property
    def cache(self) -> Path:
        """Copies of what lies on servers; may be deleted at any time."""
        return self.root / "cache"

    @property
    def logs(self) -> Path:
        """Log files."""
        return self.root / "logs"

    @property
    def keys(self) -> Path:
        """Keys made by this program. Without them the backups they belong to cannot be read."""
        return self.root / "keys"

    @property
    def secrets(self) -> Path:
        """Passwords that a person typed and asked to be remembered."""
        return self.root / "secrets"

    @property
    def locks(self) -> Path:
        """Files that keep two runs of one configuration apart."""
        return self.root / "locks"

    @property
    def webdav(self) -> Path:
        """What the embedded WebDAV server serves."""
        return self.root / "webdav"

    @property
    def prefect(self) -> Path:
        """The home of the embedded Prefect server."""
        return self.root / "prefect"

    def key_file(self, configuration: str) -> Path:
        """Where the key made for a configuration lies."""
        return self.keys / f"{file_stem(configuration)}.key"

    def password_file(self, client: str) -> Path:
        """Where a client's remembered password lies."""
        return self.secrets / f"{file_stem(client)}.password"

    def lock_file(self, configuration: str) -> Path:
        """The file locked while a configuration is being backed up."""
        return self.locks / f"{file_stem(configuration)}.lock"


def file_stem(name: str) -> str:
    """``name`` for use in a file name: letters and digits of any script stay, others are %-encoded.

    What would be too long for a file system is cut and told apart by a digest.
    """
    parts = [c if c.isalnum() or c in _SAFE_IN_FILE_NAMES else "".join(f"%{b:02x}" for b in c.encode()) for c in name]
    if parts and name[0] in ". ":
        parts[0] = f"%{ord(name[0]):02x}"
    stem = "".join(parts)
    if len(stem.encode()) <= _LONGEST_STEM:
        return stem
    import hashlib  # loads OpenSSL, which few names need

    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    return f"{stem.encode()[: _LONGEST_STEM - 17].decode('utf-8', 'ignore')}~{digest}"
