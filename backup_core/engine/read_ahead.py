"""Directories that are listed before the walk comes to them, while there is nothing better to do.

Who takes a lock has to wait a moment before it counts. What lies in the sources has nothing to do with the repository,
so a backup looks at it meanwhile; files that change after that are noticed when they are read, as always.
"""

from __future__ import annotations

import stat
from contextlib import suppress
from typing import TypeAlias

from backup_core.clock import Clock
from backup_core.engine.backup_options import BackupOptions
from backup_core.engine.roots import Root, Sources, Waypoint
from backup_core.engine.selection import Place, Selection
from backup_core.engine.source import Found, join, list_directory
from backup_core.progress import CancelToken

MOST_ENTRIES = 30_000
"""That are held in memory, at some 650 bytes each."""

Listing: TypeAlias = tuple[list[Found], list[tuple[bytes, OSError]]]
"""As ``list_directory`` gives it."""


class ReadAhead:
    """Holds each listing until it is asked for once."""

    def __init__(self) -> None:
        self._listings: dict[bytes, Listing] = {}
        self._room = MOST_ENTRIES

    def take(self, path: bytes) -> Listing:
        """What is in a directory. Raises ``OSError`` when it cannot be read."""
        return self._listings.pop(path, None) or list_directory(path)

    def look(
        self, sources: Sources, options: BackupOptions, *, clock: Clock, until: float, cancel: CancelToken
    ) -> None:
        """List what the walk will come to first, until ``until`` by ``clock.monotonic``."""
        selection = Selection(options)  # of our own, since it counts what it leaves out
        stack = [
            selection.source(root.path, root.status.st_dev)._replace(path=root.place)
            for root in _directories(sources.top)
        ]
        while stack and self._room > 0 and clock.monotonic() < until:
            cancel.check()
            with suppress(OSError):  # the walk meets it again, and tells of it
                self._look_into(stack, selection)

    def _look_into(self, stack: list[Place], selection: Selection) -> None:
        place = stack.pop()
        found, failed = list_directory(place.path)
        self._listings[place.path] = found, failed
        self._room -= len(found) + 1
        if not selection.marker_of(place, found):
            below = selection.choose(place, [each for each in found if stat.S_ISDIR(each.status.st_mode)])
            prefix = join(place.path, b"")
            stack += [
                Place(prefix + entry.found.name, entry.relative, entry.inside, place.device, place.patterns)
                for entry in reversed(below)
                if entry.descend
            ]


def _directories(point: object) -> list[Root]:
    """The sources that are directories; the walk begins with the last."""
    if isinstance(point, Waypoint):
        return [root for _, child in point.ascending() for root in _directories(child)]
    return [point] if isinstance(point, Root) and stat.S_ISDIR(point.status.st_mode) else []
