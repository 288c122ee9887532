"""Which entries of a source directory belong to the backup: patterns, and everything else that leaves files out."""

from __future__ import annotations

import os
import stat
from typing import NamedTuple

from backup_core.engine.backup_options import BackupOptions
from backup_core.engine.filters import Patterns, Verdict
from backup_core.engine.source import Found, is_cache_directory

_KEEP = Verdict(True, True)


class Place(NamedTuple):
    """A directory on the way through a source."""

    path: bytes
    """Absolute."""
    relative: bytes
    """To the source, ``b""`` for the source itself."""
    inside: bool
    """Whether what lies in it is selected unless patterns say otherwise."""
    device: int
    """``st_dev`` of the source."""
    patterns: Patterns
    """Those of the run, as they read for this source."""


class Kept(NamedTuple):
    """An entry that belongs to the backup."""

    found: Found
    relative: bytes
    descend: bool
    """Directories: whether to look into it."""
    inside: bool
    """Directories: ``Place.inside`` for it."""


class Selection:
    """Applies one run's options. Counts what was left out by size, for the notes."""

    def __init__(self, options: BackupOptions) -> None:
        """``ConfigError`` names every faulty pattern."""
        self.patterns = Patterns(options.include, options.exclude, case_insensitive=options.case_insensitive)
        self.too_large = 0
        """Files left out because of their size."""
        self._caches = options.exclude_caches
        self._markers = frozenset(os.fsencode(name) for name in options.exclude_if_present)
        self._max_size = options.max_file_size
        self._one_file_system = options.one_file_system

    def source(self, path: bytes, device: int) -> Place:
        """The place where the walk through the source at ``path`` starts."""
        patterns = self.patterns.below(path)
        return Place(path, b"", patterns.at_root.inside, device, patterns)

    def marker_of(self, place: Place, entries: list[Found]) -> bytes:
        """The name of the entry because of which all others in a directory are left out, ``b""`` if there is none."""
        if self._caches and is_cache_directory(place.path, entries):
            return b"CACHEDIR.TAG"
        if self._markers:
            return next((name for name, _ in entries if name in self._markers), b"")
        return b""

    def keeps_all(self, place: Place, entries: list[Found]) -> bool:
        """Whether ``choose`` leaves out nothing of a directory but sockets, so that no entry need be looked at."""
        return place.patterns.select_everything and self._max_size is None and not self.marker_of(place, entries)

    def choose(self, place: Place, entries: list[Found]) -> list[Kept]:
        """The entries of a directory that belong to the backup, in the same order. Sockets never do."""
        marker = self.marker_of(place, entries)
        prefix = place.relative + b"/" if place.relative else b""
        judge, inside = place.patterns.judge, place.inside
        everything = place.patterns.select_everything
        kept: list[Kept] = []
        for found in entries:
            name, status = found
            if marker and name != marker:
                continue
            mode = status.st_mode
            is_directory = stat.S_ISDIR(mode)
            relative = prefix + name
            verdict = _KEEP if everything else judge(relative, is_directory=is_directory, inside=inside)
            if not verdict.keep or stat.S_ISSOCK(mode):
                continue
            if self._max_size is not None and stat.S_ISREG(mode) and status.st_size > self._max_size:
                self.too_large += 1
                continue
            descend = is_directory and not (self._one_file_system and status.st_dev != place.device)
            kept.append(Kept(found, relative, descend, verdict.inside))
        return kept
