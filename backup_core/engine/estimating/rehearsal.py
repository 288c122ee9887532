"""The sink of a dry run: takes the files that a backup would read, and reads a sample of them."""

from __future__ import annotations

import math
import os
from collections.abc import Callable

from backup_core.engine.backup_progress import Meter
from backup_core.engine.estimating.appraisal import Appraisal, Appraiser
from backup_core.engine.messages import FileOutcome
from backup_core.format.chunker import seed_from
from backup_core.progress import CancelToken
from backup_core.repository.index_writing import INDEX_BLOBS
from backup_core.repository.repository import Repository
from backup_core.results import PlannedCost
from backup_core.types import TreeId

UNCHANGED_RUN = 7
"""Requests of a backup that stores nothing: config, key, three for its lock, the list of index files, the snapshot."""
CREATION = 15
"""Requests for making the repository first."""
_SNAPSHOT_BYTES = 1024
"""More than a snapshot and two locks take."""


class DrySink:
    """Takes files and notes what storing them would cost."""

    def __init__(self, repository: Repository, *, compression: bool, cancel: CancelToken, meter: Meter) -> None:
        level = repository.options.compression_level if compression else None
        seed = seed_from(repository.config.chunker_polynomial)
        self._appraiser = Appraiser(repository.index, seed=seed, level=level, cancel=cancel)
        self._cancel = cancel
        self._meter = meter

    def store(self, path: bytes, status: os.stat_result, done: Callable[[FileOutcome], None]) -> None:
        """See ``source_walk.FileSink``."""
        self._appraiser.add_file(path, status.st_size)
        self._meter.content(status.st_size)
        done(FileOutcome("stored", status.st_size))

    store_database = store

    def pump(self, *, wait: bool) -> None:
        """See ``source_walk.FileSink``."""
        self._cancel.check()

    def save_tree(self, text: bytes) -> TreeId:
        """A directory that would be stored; the id is not the one that it will have."""
        return TreeId(self._appraiser.add_tree(text))

    def appraise(self) -> Appraisal:
        """Read the sample."""
        return self._appraiser.appraise()


def planned_cost(repository: Repository, found: Appraisal, *, workers: int) -> PlannedCost:
    """What storing this would send, and in how many requests. ``workers`` is how many fill packs at the same time."""
    size, promises = repository.pack_size, repository.backend.promises
    # Each worker closes a pack that is not full at the end.
    data = math.ceil(found.data_pack_bytes / size + (workers - 1) / 2) if found.data_pack_bytes else 0
    packs = data + math.ceil(found.tree_pack_bytes / size)
    gathered = promises.packs_in_folder
    folders = -(-packs // gathered) if gathered else min(packs, 256)
    new_folders = folders if gathered is None or not len(repository.index) else folders - 1
    index_files = -(-found.blobs // INDEX_BLOBS) if packs else 0
    # The snapshot, and listings of the folders of packs and of the index.
    confirming = 0 if promises.atomic_put else folders + 2 if packs else 1
    requests = UNCHANGED_RUN + packs + index_files + max(0, new_folders) + confirming
    return PlannedCost(
        requests=requests,
        bytes_up=found.stored_bytes + _SNAPSHOT_BYTES,
        packs=packs,
        bytes_read=found.bytes_to_read,
        sampled_bytes=found.bytes_read,
    )
