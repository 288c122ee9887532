"""Finding one entry of a backup by its path, without walking through the backup."""

from __future__ import annotations

import os

from backup_core.engine.restore_layout import printable
from backup_core.engine.snapshot_walk import Source, Trees, find_sources
from backup_core.errors import ConfigError, Corrupt
from backup_core.format.snapshot import Snapshot
from backup_core.format.tree import Node


def find_entry(trees: Trees, snapshot: Snapshot, path: str) -> Node:
    """The entry at ``path``: absolute as it was backed up, or below any source, or beginning with a source's own name.

    Raises ``ConfigError`` when there is none, or when it may mean several; what reading trees raises.
    """
    parts = tuple(part for part in os.fsencode(path).split(b"/") if part not in (b"", b"."))
    found: dict[tuple[bytes, ...], Node] = {}
    for source in find_sources(trees, snapshot):
        for rest in _readings(parts, source, absolute=path.startswith("/")):
            node = _descend(trees, snapshot, source, rest)
            if node is not None:
                found[(*source.landing.source, *rest)] = node
    if not found:
        raise ConfigError(f"the backup holds no {printable(os.fsencode(path))!r}; `files` lists what it holds")
    if len(found) > 1:
        shown = ", ".join("/" + printable(b"/".join(place)) for place in sorted(found))
        raise ConfigError(
            f"{printable(os.fsencode(path))!r} means several entries: {shown}. Name one by its whole path"
        )
    return next(iter(found.values()))


def _readings(parts: tuple[bytes, ...], source: Source, *, absolute: bool) -> list[tuple[bytes, ...]]:
    """What comes below the source, for each way in which the path may be meant."""
    whole = source.landing.source
    if absolute:
        return [parts[len(whole) :]] if parts[: len(whole)] == whole else []
    readings = [parts]
    if whole and parts[:1] == whole[-1:]:
        readings.append(parts[1:])
    return readings


def _descend(trees: Trees, snapshot: Snapshot, source: Source, rest: tuple[bytes, ...]) -> Node | None:
    node = source.node
    for name in rest:
        tree = snapshot.tree if node is None else node.subtree
        if node is not None and node.type != "dir":
            return None
        if tree is None:
            raise Corrupt("a directory's entry does not say where its content is", kind="tree")
        node = next((entry for entry in trees.read_tree(tree) if entry.name == name), None)
        if node is None:
            return None
    return node
