"""Which repositories lie at or below a folder of a server."""

from __future__ import annotations

from collections import deque

from backup_core.errors import ListingUnproved, NotARepository, NotFound
from backup_core.format.layout import DIRECTORIES, FileKind
from backup_core.progress import CancelToken
from backup_core.storage.backend import Backend

_DEEPEST = 4
"""Folders below the one named in which a repository is looked for."""
_MOST_LISTINGS = 500
"""Folders looked into before the search is given up: a folder of photographs is no place for repositories."""
_CONFIG = FileKind.CONFIG.value


def find_repositories(backend: Backend, *, cancel: CancelToken | None = None) -> list[str]:
    """Folders that hold a repository, relative to ``backend``, "" for itself; sorted.

    One request when the folder itself is one. Raises ``NotARepository`` when there is none, ``ListingUnproved`` when
    some may have been overlooked.
    """
    if _is_repository(backend, ""):
        return [""]
    found: list[str] = []
    waiting: deque[tuple[str, int]] = deque([("", 0)])
    listed = 0
    while waiting:
        if cancel is not None:
            cancel.check()
        folder, depth = waiting.popleft()
        listed += 1
        if listed > _MOST_LISTINGS:
            raise ListingUnproved(
                f"{backend.location} holds more than {_MOST_LISTINGS} folders; name the one with the repositories"
            )
        listing = backend.list(folder)
        if not listing.proved_complete:
            raise ListingUnproved(
                f"what lies in {folder or 'the folder'} at {backend.location} cannot be known for sure"
                f"{': ' + listing.doubt if listing.doubt else ''}; nothing was recovered. Try again, or name the "
                "folder of one repository"
            )
        if any(entry.name.rpartition("/")[2] == _CONFIG for entry in listing.objects):
            inside = {name.rpartition("/")[2] for name in listing.directories}
            if inside & set(DIRECTORIES):
                found.append(folder)
                continue
        if depth < _DEEPEST:
            waiting.extend((name, depth + 1) for name in listing.directories)
    if not found:
        raise NotARepository(
            f"there is no repository at {backend.location} nor in the folders below it. Check address and path"
        )
    return sorted(found)


def _is_repository(backend: Backend, folder: str) -> bool:
    try:
        backend.stat(f"{folder}/{_CONFIG}" if folder else _CONFIG)
    except NotFound:
        return False
    return True
