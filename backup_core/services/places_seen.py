"""Which repository was last seen where a configuration stores: how the catalogue's settings say it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SEEN = "repository-of:"
"""Settings: this and a configuration's name -> its place, and the id of the repository last seen there."""


def place_of(client: str, target_path: str) -> str:
    """Where a configuration stores, as the settings name it."""
    return f"{client}\0{target_path}"


def repository_seen(setting: Mapping[str, Any] | None, place: str) -> str | None:
    """The id of the repository that was last seen at this place; None when none ever was."""
    return str(setting["id"]) if setting and setting["place"] == place else None
