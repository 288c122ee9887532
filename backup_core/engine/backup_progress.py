"""Progress of a backup: counts gathered cheaply, and totals counted ahead by a thread of its own."""

from __future__ import annotations

import stat
import threading

from backup_core.engine.backup_options import BackupOptions
from backup_core.engine.live.produced import Produced
from backup_core.engine.restore_layout import printable
from backup_core.engine.roots import Root, Sources, Waypoint
from backup_core.engine.selection import Place, Selection
from backup_core.engine.source import join, list_directory
from backup_core.progress import ProgressTracker
from backup_core.repository.repository import Repository

_TELL_AFTER = 128


class Meter:
    """Gathers counts and hands them to a tracker now and then: one call for each file would be felt."""

    def __init__(self, tracker: ProgressTracker, repository: Repository) -> None:
        self._tracker = tracker
        self._repository = repository
        self._files = 0
        self._bytes = 0
        self._path = b""
        self._stored = repository.bytes_written
        self._requests = repository.backend.requests.total

    def entry(self, path: bytes, size: int, count: int) -> None:
        """An entry is done, or ``count`` of them; ``size`` is what was not read because it is known."""
        self._files += count
        self._bytes += size
        self._path = path
        if self._files >= _TELL_AFTER:
            self.tell()

    def content(self, size: int) -> None:
        """So many bytes were read and dealt with."""
        self._bytes += size
        self.tell()

    def tell(self) -> None:
        """Hand over what was gathered."""
        stored, requests = self._repository.bytes_written, self._repository.backend.requests.total
        self._tracker.advance(
            files=self._files,
            bytes_=self._bytes,
            stored=stored - self._stored,
            requests=requests - self._requests,
            path=printable(self._path) if self._files else "",
        )
        self._files = self._bytes = 0
        self._stored, self._requests = stored, requests


class Prescan:
    """Counts, beside the backup itself, what there is to back up. A context manager; leaving it ends the count."""

    def __init__(self, options: BackupOptions, sources: Sources, tracker: ProgressTracker) -> None:
        self._selection = Selection(options)
        self._sources = sources
        self._tracker = tracker
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="davault-prescan", daemon=True)
        self.files = 0
        self.bytes = 0

    def __enter__(self) -> Prescan:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        stack: list[Place] = []
        waypoints: list[Waypoint | Root | Produced] = [self._sources.top]
        while waypoints:
            point = waypoints.pop()
            if isinstance(point, Waypoint):
                waypoints.extend(point.children.values())
            elif isinstance(point, Produced):
                self.files += 1
                self.bytes += point.size
            elif stat.S_ISDIR(point.status.st_mode):
                place = self._selection.source(point.path, point.status.st_dev)
                stack.append(place._replace(path=point.place))
            else:
                self.files += 1
                self.bytes += point.status.st_size
        while stack and not self._stop.is_set():
            self._count(stack.pop(), stack)
        if not self._stop.is_set():
            self._tracker.totals(files=self.files, bytes_=self.bytes)

    def _count(self, place: Place, stack: list[Place]) -> None:
        try:
            listing, _ = list_directory(place.path)
        except OSError:
            return  # the backup itself tells of it
        for found, relative, descend, inside in self._selection.choose(place, listing):
            if descend:
                path = join(place.path, found.name)
                stack.append(Place(path, relative, inside, place.device, place.patterns))
            elif not stat.S_ISDIR(found.status.st_mode):
                self.files += 1
                self.bytes += found.status.st_size if stat.S_ISREG(found.status.st_mode) else 0
