"""Take over what an earlier tree says of unchanged entries word for word, so that only the others are decoded.

In a directory of fifty files of which one has changed, decoding and encoding the other forty-nine would be nearly all
of the work. The ledger has a digest of what is compared of each entry; where an entry still has it, its node would be
encoded just as it is.
"""

from __future__ import annotations

import stat
from collections.abc import Sequence
from typing import NamedTuple

from backup_core.engine.source import Found
from backup_core.engine.tree_facts import DIGEST_BYTES, Facts, digest_of, facts_of_directory
from backup_core.format.tree import Node, decode_tree, encode_tree, split_tree


class Unchanged(NamedTuple):
    """The entries of a directory that an earlier tree describes, but for directories in it."""

    nodes: dict[int, bytes]
    """Encoded, by the place of the entry among all that are there now."""
    facts: Sequence[Facts]
    """Of all that are there now, and what ``digest_of`` them."""
    digests: Sequence[bytes]


class Compared(NamedTuple):
    """An earlier tree beside the directory as it is now."""

    entries: int
    """How many the earlier tree has."""
    nodes: dict[bytes, Node]
    """Those of them, by name, that are not among the unchanged ones."""
    unchanged: Unchanged = Unchanged({}, (), ())


def spliced(text: bytes, digests: bytes, found: Sequence[Found]) -> Compared | None:
    """Compare a tree that was encoded here, whose entries have these ``digests``, with the entries of a directory.

    None when the tree has to be decoded to be understood. Raises ``Corrupt``.
    """
    known = [digests[at : at + DIGEST_BYTES] for at in range(0, len(digests), DIGEST_BYTES)]
    nodes = split_tree(text, len(known))
    if nodes is None:
        return None
    left = dict(zip(known, nodes, strict=True))
    facts = facts_of_directory(found)
    now = [digest_of(entry) for entry in facts]
    same = {
        place: left.pop(digest)
        for place, digest in enumerate(now)
        if digest in left and not stat.S_ISDIR(found[place].status.st_mode)
    }
    others = decode_tree(encode_tree(list(left.values())))
    return Compared(len(known), {node.name: node for node in others}, Unchanged(same, facts, now))
