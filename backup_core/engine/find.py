"""Looking through a snapshot without restoring anything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from backup_core.engine.restore_layout import Landing
from backup_core.engine.snapshot_walk import Selection, SnapshotWalk, find_sources
from backup_core.format.snapshot import Snapshot
from backup_core.format.tree import Node
from backup_core.progress import CancelToken
from backup_core.repository.repository import Repository


def iterate_files(
    repository: Repository,
    snapshot: Snapshot,
    patterns: Sequence[str] = (),
    *,
    exclude: Sequence[str] = (),
    case_insensitive: bool = False,
    directories: bool = False,
    cancel: CancelToken | None = None,
) -> Iterator[tuple[bytes, Node]]:
    """(path, node) of what ``patterns`` select of a snapshot (all, when there are none), in tree order.

    The path is the one the entry had when it was backed up, absolute; as a pattern it selects that entry again.
    ``directories``: give selected directories too. Costs no request once the trees are in the local cache.
    Raises ``ConfigError`` for faulty patterns, ``Corrupt`` or ``BlobMissing`` for a directory that cannot be read.
    """
    # A damaged index file is told by whatever needs it: looking at the rest is worth more.
    repository.load_index(cancel=cancel, problems=[], allow_unproved=True)
    sources = find_sources(repository, snapshot)
    selection = Selection(sources, patterns=patterns, exclude=exclude, case_insensitive=case_insensitive)
    above = {landing: _above(landing) for landing in (source.landing for source in sources)}
    for step in SnapshotWalk(repository, snapshot, sources, selection):
        if cancel is not None:
            cancel.check()
        if step.node.type != "dir" or (directories and step.selected):
            yield above[step.source.landing] + b"/" + step.path, step.node


def _above(landing: Landing) -> bytes:
    """What the path of a source has before its place."""
    return b"".join(b"/" + name for name in landing.source[: len(landing.source) - len(landing.place)])
