"""Backing up a directory in the plainest way: one file after the other, in one thread, with fixed chunks.

For tests of what reads repositories. Small chunks and packs give small trees the shape of large ones, and a hook
may change the nodes before they are stored, which is how hostile repositories are made.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from datetime import UTC
from pathlib import Path

from backup_core.format.snapshot import Snapshot
from backup_core.format.tree import Node, encode_node, encode_tree, go_mode
from backup_core.repository.blob_store import BlobStore
from backup_core.repository.repository import Repository
from backup_core.types import BlobType, TreeId

_TYPES = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "dir",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "chardev",
    stat.S_IFBLK: "dev",
}

NodeHook = Callable[[bytes, list[Node]], list[Node]]
"""Called with a directory's path and its nodes, sorted; returns those to store."""


class PlainArchiver:
    """Stores directories in a repository."""

    def __init__(self, repository: Repository, *, chunk: int = 4096, hook: NodeHook = lambda _, nodes: nodes) -> None:
        """``chunk``: bytes of each blob."""
        self._repository = repository
        self._chunk = chunk
        self._hook = hook

    def back_up(self, *sources: str | os.PathLike[str], tags: Sequence[str] = ()) -> Snapshot:
        """Store the sources and a snapshot of them; the snapshot as it can be loaded again."""
        repository = self._repository
        with repository.lock():
            repository.load_index()
            with repository.uploader() as uploader:
                store = repository.blob_store(uploader)
                tree = self._way_down(store, b"/", [tuple(Path(source).parts[1:]) for source in sources])
                store.flush()
                uploader.finish()
            snapshot = Snapshot(
                time=repository.clock.now(),
                tree=tree,
                paths=tuple(os.fspath(source) for source in sources),
                hostname="test",
                username="test",
                tags=tuple(tags),
            )
            return repository.load_snapshot(repository.save_snapshot(snapshot))

    def _way_down(self, store: BlobStore, directory: bytes, sources: list[tuple[str, ...]]) -> TreeId:
        nodes = []
        for first in sorted({os.fsencode(source[0]) for source in sources}):
            below = [source[1:] for source in sources if os.fsencode(source[0]) == first]
            path = os.path.join(directory, first)
            if () in below:
                nodes.append(self._node(store, path))
            else:
                node = _facts(path)
                node.subtree = self._way_down(store, path, below)
                nodes.append(node)
        return self._save(store, directory, nodes)

    def _save(self, store: BlobStore, directory: bytes, nodes: list[Node]) -> TreeId:
        return store.save_tree(encode_tree([encode_node(node, UTC) for node in self._hook(directory, nodes)]))

    def _node(self, store: BlobStore, path: bytes) -> Node:
        node = _facts(path)
        if node.type == "dir":
            names = sorted(os.listdir(path))
            node.subtree = self._save(store, path, [self._node(store, os.path.join(path, name)) for name in names])
        elif node.type == "file":
            with open(os.fsdecode(path), "rb") as file:
                chunks = iter(lambda: file.read(self._chunk), b"")
                node.content = tuple(store.save_blob(BlobType.DATA, chunk) for chunk in chunks)
        return node


def _facts(path: bytes) -> Node:
    facts = os.lstat(path)
    kind = _TYPES[stat.S_IFMT(facts.st_mode)]
    names = os.listxattr(path, follow_symlinks=False)
    return Node(
        name=os.path.basename(path),
        type=kind,
        mode=go_mode(facts.st_mode),
        mtime_ns=facts.st_mtime_ns,
        atime_ns=facts.st_mtime_ns,
        ctime_ns=facts.st_ctime_ns,
        uid=facts.st_uid,
        gid=facts.st_gid,
        inode=facts.st_ino,
        device_id=facts.st_dev,
        size=facts.st_size if kind == "file" else 0,
        links=0 if kind == "dir" else facts.st_nlink,
        linktarget=os.readlink(path) if kind == "symlink" else None,
        extended_attributes=tuple((os.fsencode(n), os.getxattr(path, n, follow_symlinks=False)) for n in names),
        device=facts.st_rdev if kind in ("dev", "chardev") else 0,
    )
