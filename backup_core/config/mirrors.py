"""Second places that keep copies of a configuration's backups."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict

from backup_core.config import rules
from backup_core.config.checked import Name, checked
from backup_core.config.secrets import is_reference


def _reference(text: str) -> str:
    if not is_reference(text):
        raise ValueError("give a reference (env:, file:, keyring:, prefect:), not the key itself")
    return text


class MirrorConfig(BaseModel):
    """A mirror: a repository of its own, at another place, with copies of a configuration's snapshots."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    client: Name
    """Name of the client that the mirror is stored at."""
    path: Annotated[str, checked(rules.target_path)]
    """Folder below that client's URL."""
    key: Annotated[str, AfterValidator(_reference)] | None = None
    """Where the mirror's key is to be had; None: the same key as the configuration's."""

    @property
    def place(self) -> tuple[str, str]:
        """Client and folder: what tells mirrors apart."""
        return self.client, self.path

    @property
    def shown(self) -> str:
        """The place, for people."""
        return f"{self.client}:{self.path}"
