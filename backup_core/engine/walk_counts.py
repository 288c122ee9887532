"""What a walk through the sources has seen, in numbers."""

from __future__ import annotations

from backup_core.deferred import dataclass
from backup_core.format.tree import Node


@dataclass(slots=True)
class WalkCounts:
    """What was seen. "Other" are entries that are neither files nor directories."""

    files_new: int = 0
    files_changed: int = 0
    files_unchanged: int = 0
    others_new: int = 0
    others_changed: int = 0
    others_unchanged: int = 0
    directories: int = 0
    total_size: int = 0
    """Bytes of all files."""
    read_again: int = 0
    """Unchanged files whose content the repository no longer has."""

    def unchanged(self, *, files: int, size: int, others: int = 0) -> None:
        """Files of ``size`` bytes in all, and other entries, that are just as they were."""
        self.files_unchanged += files
        self.total_size += size
        self.others_unchanged += others

    def file(self, node: Node, old: Node | None, *, unchanged: bool) -> None:
        """A file that was looked into, and what an earlier backup has in its place."""
        self.total_size += node.size
        if old is None or old.type != "file":
            self.files_new += 1
        elif unchanged:
            self.files_unchanged += 1
        else:
            self.files_changed += 1

    def other(self, node: Node, old: Node | None) -> None:
        """What is neither file nor directory."""
        if old is None or old.type != node.type:
            self.others_new += 1
        elif (old.mtime_ns, old.ctime_ns, old.inode) == (node.mtime_ns, node.ctime_ns, node.inode):
            self.others_unchanged += 1
        else:
            self.others_changed += 1
