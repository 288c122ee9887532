"""One backup, from the sources to the snapshot.

    lock -> snapshots -> index -> (full: are the packs there?) -> commands -> walk, read, store -> trees -> index
         -> snapshot

The snapshot comes last, when all it refers to is stored and listed (see ``repository`` for the write order), so an
interrupted run leaves nothing but data that the next one uses.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from importlib import metadata

from backup_core.clock import Clock
from backup_core.engine.backup_options import BackupOptions
from backup_core.engine.backup_progress import Meter, Prescan
from backup_core.engine.backup_result import BackupResult, changes_of, file_figures, snapshot_summary
from backup_core.engine.change_detection import EarlierTrees, choose_parent
from backup_core.engine.estimating.rehearsal import DrySink, planned_cost
from backup_core.engine.live.databases import LiveDatabases
from backup_core.engine.live.produced import Produced, Producer
from backup_core.engine.live.sqlite_files import begins_as_database
from backup_core.engine.local_zone import LocalZone, zone_mark
from backup_core.engine.messages import Settings
from backup_core.engine.pipeline import Pipeline
from backup_core.engine.read_ahead import ReadAhead
from backup_core.engine.roots import resolve_sources
from backup_core.engine.selection import Selection
from backup_core.engine.snapshot_walk import DAMAGE
from backup_core.engine.source_problems import SourceProblems
from backup_core.engine.source_walk import FileSink, SourceWalk
from backup_core.engine.tree_builder import TreeBuilder
from backup_core.engine.tree_ledger import LedgerFile, TreeLedger
from backup_core.engine.worker_pool import WorkerPool, default_worker_count
from backup_core.errors import BackupError, BackupExecutionError
from backup_core.format.chunker import Chunker, seed_from
from backup_core.format.ids import from_hex, to_hex
from backup_core.format.snapshot import Snapshot
from backup_core.format.tree import Node
from backup_core.progress import CancelToken, ProgressTracker
from backup_core.repository.blob_store import BlobStore
from backup_core.repository.index import Index
from backup_core.repository.index_rewrite import tend_index
from backup_core.repository.repository import Repository
from backup_core.repository.uploader import Uploader
from backup_core.results import BackupSummary, Outcome, PlannedCost, Problem, Severity
from backup_core.types import BlobId, BlobType, PackId, TreeId

__all__ = ["BackupOptions", "run_backup"]


def run_backup(
    repository: Repository,
    options: BackupOptions,
    *,
    clock: Clock,
    progress: ProgressTracker,
    cancel: CancelToken,
) -> BackupSummary:
    """Back up ``options.sources`` into ``repository``.

    What is wrong with single files becomes problems of the summary. Raises ``SourceError`` when no source exists or a
    command whose output was to be stored failed, ``ConfigError`` for faulty patterns, ``LockHeld``, ``Cancelled``,
    ``BackupExecutionError`` when a worker dies, and the errors of storage; then no snapshot was written, and what was
    uploaded is used by the next run.
    """
    run = _Run(repository, options, clock, progress, cancel)
    return run.rehearse() if options.dry_run else run.carry_out()


class _Run:
    def __init__(
        self,
        repository: Repository,
        options: BackupOptions,
        clock: Clock,
        progress: ProgressTracker,
        cancel: CancelToken,
    ) -> None:
        self._repository = repository
        self._options = options
        self._clock = clock
        self._progress = progress
        self._cancel = cancel
        self._started = clock.now()
        self._begin = clock.monotonic()
        self._stages: dict[str, float] = {}
        self._requests = dict(repository.backend.requests.by_method)
        self._written = repository.bytes_written
        self._meter = Meter(progress, repository)
        self._problems = SourceProblems()
        self._notes: list[str] = []
        self._selection = Selection(options)
        self._sources = resolve_sources(options.sources, [Produced(command) for command in options.commands])
        self._notes += self._sources.notes
        for problem in self._sources.problems:
            self._problems.add(problem)
        self._kind: str = options.kind
        self._planned: PlannedCost | None = None
        self._lost: frozenset[PackId] = frozenset()
        self._parent: Snapshot | None = None
        self._ledger = TreeLedger()
        self._ahead = ReadAhead()

    def carry_out(self) -> BackupSummary:
        """The real backup."""
        pool = WorkerPool(
            self._options.start_method,
            workers=self._options.workers or default_worker_count(),
            uploads=self._repository.options.upload_threads or self._repository.backend.promises.parallel_requests,
            pack_size=self._repository.pack_size,
            directory=self._repository.cache.place_for_packs(),
        )
        try:
            # Before the lock, whose renewal is a thread: a process with threads is not forked.
            pool.fork_early()
            with self._repository.lock(cancel=self._cancel, meanwhile=self._look_ahead):
                result = self._back_up(pool)
                snapshot = self._save_snapshot(result)
        except BaseException:
            pool.close(kill=True)
            raise
        with self._stage("finish"):
            self._notes += tend_index(self._repository, gone=self._lost, cancel=self._cancel)
            index = self._repository.index
            if index.settled and index.complete:
                self._ledger_file().save(self._ledger, index.index_ids)
        return self._summary(result, snapshot)

    def rehearse(self) -> BackupSummary:
        """Only look."""
        with self._stage("prepare"):
            self._prepare()
        sink = DrySink(self._repository, compression=self._options.compression, cancel=self._cancel, meter=self._meter)
        result = self._walk(sink, sink.save_tree)
        with self._stage("sample"):
            found = sink.appraise()
        result.data_added = found.new_bytes
        workers = self._options.workers or default_worker_count()
        self._planned = planned_cost(self._repository, found, workers=workers)
        result.packs = self._planned.packs
        self._notes.append("nothing was written; what would be stored is reckoned from a sample of the source")
        if self._options.commands:
            self._notes.append(
                f"{len(self._options.commands)} commands were not run; nobody knows what they would print"
            )
        return self._summary(result, "")

    def _look_ahead(self, until: float) -> None:
        """Not where commands or a look at all packs come first, which may take hours."""
        if self._kind == "incremental" and not self._options.commands:
            self._ahead.look(self._sources, self._options, clock=self._clock, until=until, cancel=self._cancel)

    def _back_up(self, pool: WorkerPool) -> BackupResult:
        """Everything up to the index files."""
        with self._stage("prepare"):
            index = self._prepare()
        if self._kind == "full":
            self._lost = self._distrust_lost_packs(index)
        with self._repository.uploader(self._cancel) as uploader:
            try:
                result = self._fill(pool, index, uploader)
                pool.close(kill=False)  # what workers hold is not needed while the index is written
                with self._stage("finish"):
                    result.packs = uploader.finish(self._progress).packs
            except BaseException:
                pool.close(kill=True)  # first, since giving up waits for uploads under way
                raise
        if self._lost:
            self._verify_replacements(self._lost)
        return result

    def _prepare(self) -> Index:
        """Load the index, settle what to compare with and what kind of backup this becomes."""
        self._progress.phase("scan")
        problems: list[Problem] = []
        parent = self._parent_among(self._repository.remembered_snapshots())
        known = parent is not None
        if not known:
            found = self._repository.snapshots(problems=problems, allow_unproved=True, cancel=self._cancel)
            parent = self._parent_among(found)
        index = self._repository.load_index(self._progress, self._cancel, problems=problems, allow_unproved=True)
        if known and parent is not None and (index.news or not index.contains(parent.tree, BlobType.TREE)):
            # Others have stored something, perhaps a newer backup of these sources; or the one known here was forgotten
            # and what it needed is gone. Who looks anew must read the index after that, too.
            found = self._repository.snapshots(problems=problems, allow_unproved=True, cancel=self._cancel)
            parent = self._parent_among(found)
            index = self._repository.load_index(self._progress, self._cancel, problems=problems, allow_unproved=True)
        self._parent = parent
        for problem in problems:
            self._problems.add(problem)
        if self._kind == "incremental" and self._parent is None:
            self._kind = "full"
            self._notes.append(
                "there is no earlier backup of these sources, so this incremental backup became a full one"
            )
        return index

    def _parent_among(self, snapshots: Sequence[Snapshot]) -> Snapshot | None:
        host, paths = self._options.hostname, self._sources.paths
        return choose_parent(snapshots, hostname=host, paths=paths, config_tag=self._config_tag)

    def _distrust_lost_packs(self, index: Index) -> frozenset[PackId]:
        """Look at all packs on the server; what is missing or has the wrong size holds nothing for this run."""
        with self._stage("verify"):
            bad = self._repository.check_packs(cancel=self._cancel)
        for problem in bad:
            self._problems.add(problem)
        lost = frozenset(PackId(from_hex(problem.object_id)) for problem in bad)
        index.hide_packs(lost)
        return lost

    def _verify_replacements(self, lost: frozenset[PackId]) -> None:
        """A server that lost packs is asked again for all others before a snapshot relies on them."""
        with self._stage("verify"):
            bad = [p for p in self._repository.check_packs(cancel=self._cancel) if from_hex(p.object_id) not in lost]
        if bad:
            raise BackupExecutionError(
                f"{len(bad)} packs were lost by the server while this backup was running: {bad[0].message}. "
                "No snapshot was written. Distrust this server"
            )

    def _fill(self, pool: WorkerPool, index: Index, uploader: Uploader) -> BackupResult:
        repository = self._repository
        for blob in index.added_blobs(BlobType.DATA):
            pool.claim(blob)  # stored by an interrupted run; workers only see what index files list
        seed, key = seed_from(repository.config.chunker_polynomial), repository.master_key.to_json()
        level = repository.options.compression_level if self._options.compression else None
        pool.place_packs = uploader.placement.choose
        trees = repository.blob_store(uploader)
        self._produce(pool, Chunker(seed), trees)
        scratch = str(repository.cache.directory("tmp")) if self._options.sqlite else None
        pipeline = Pipeline(
            pool,
            lambda: Settings(index.path, key, seed, level, repository.pack_size, scratch),
            uploader,
            cancel=self._cancel,
            on_bytes=self._meter.content,
            is_database=begins_as_database if self._options.sqlite else lambda _: False,
        )
        result = self._walk(pipeline, trees.save_tree, pipeline.drain)
        with self._stage("finish"):
            trees.flush()
        counts = pipeline.counts
        result.data_blobs, result.data_added, result.data_stored = counts.blobs, counts.data_added, counts.data_stored
        result.trees = trees.totals
        result.data_blobs += result.trees.data_blobs
        return result

    def _produce(self, pool: WorkerPool, chunker: Chunker, store: BlobStore) -> None:
        """Run the commands whose output is backed up. First, so that no hour is spent on files before one fails."""
        if not self._sources.produced:
            return

        def keep(data: memoryview) -> BlobId:
            blob = store.save_blob(BlobType.DATA, data)
            pool.claim(blob)
            return blob

        self._progress.phase("commands")
        with self._stage("commands"):
            producer = Producer(chunker, keep, clock=self._clock, cancel=self._cancel, on_bytes=self._meter.content)
            for problem in producer.produce(self._sources.produced):
                self._problems.add(problem)

    def _walk(
        self, sink: FileSink, save_tree: Callable[[bytes], TreeId], drain: Callable[[], None] = lambda: None
    ) -> BackupResult:
        earlier = EarlierTrees(self._repository.reader, self._note_damage)
        index = self._repository.index
        if self._kind == "incremental":
            self._ledger = self._ledger_file().load(index.index_ids)
        builder = TreeBuilder(save_tree, LocalZone(), ledger=self._ledger, read_tree=self._read_standing)
        walk = SourceWalk(
            self._selection,
            builder,
            sink,
            earlier,
            self._problems,
            is_stored=None if self._kind == "full" else partial(_is_stored, index),
            on_entry=self._meter.entry,
            databases=LiveDatabases() if self._options.sqlite else None,
            ledger=self._ledger,
            ahead=self._ahead,
        )
        known = self._parent.summary if self._parent is not None else None
        files, size = (known.total_files_processed, known.total_bytes_processed) if known else (0, 0)
        self._progress.phase("backup", files_total=files, bytes_total=size)
        count_ahead = known is None and self._progress.wanted
        with (
            self._stage("backup"),
            Prescan(self._options, self._sources, self._progress) if count_ahead else nullcontext(),
        ):
            walk.run(self._sources, self._parent.tree if self._parent is not None else None)
            drain()
        self._meter.tell()
        if builder.root is None:
            raise BackupExecutionError("the walk through the sources ended before its tree was whole")
        return BackupResult(builder.root, walk.counts, builder, notes=walk.notes, census=walk.census)

    @property
    def _config_tag(self) -> str:
        return next((tag for tag in self._options.tags if tag.startswith("config:")), "")

    def _ledger_file(self) -> LedgerFile:
        repository = self._repository
        sources = [self._config_tag, *self._sources.paths]
        return LedgerFile(repository.cache, repository.sealer(), sources=sources, zone=zone_mark())

    def _read_standing(self, tree: TreeId) -> Sequence[Node]:
        """A directory of the earlier backup whose files count as unchanged already."""
        try:
            return self._repository.read_tree(tree, keep=False)
        except DAMAGE as error:
            self._ledger_file().remove()
            raise BackupExecutionError(
                f"a directory of the backup that this one is compared with cannot be read ({error}). No snapshot was "
                "written. Run the backup again: it then looks at every file",
                transient=True,
            ) from error

    def _note_damage(self, tree: TreeId, error: BackupError) -> None:
        self._problems.add(
            Problem(
                "damaged-parent",
                f"a directory of the backup that this one is compared with cannot be read ({error}); "
                "what lies in it was backed up anew",
                object_id=to_hex(tree),
            )
        )

    def _save_snapshot(self, result: BackupResult) -> str:
        options = self._options
        with self._stage("finish"):
            return self._repository.save_snapshot(
                Snapshot(
                    time=self._started,
                    tree=result.tree,
                    paths=self._sources.paths,
                    parent=self._parent.id if self._parent is not None and self._kind == "incremental" else None,
                    hostname=options.hostname,
                    username=options.username,
                    uid=os.getuid() if hasattr(os, "getuid") else 0,
                    gid=os.getgid() if hasattr(os, "getgid") else 0,
                    excludes=options.exclude,
                    tags=("davault", *options.tags, f"backup-id:{options.backup_id}", f"kind:{self._kind}"),
                    program_version=f"davault {metadata.version('davault')}",
                    summary=snapshot_summary(result, started=self._started, ended=self._clock.now()),
                )
            )

    def _summary(self, result: BackupResult, snapshot: str) -> BackupSummary:
        problems = self._problems.all()
        bad = any(problem.severity is not Severity.HINT for problem in problems)
        requests = self._repository.backend.requests.by_method
        return BackupSummary(
            backup_id=self._options.backup_id,
            snapshot_id=snapshot,
            backup_type=self._kind,
            outcome=Outcome.COMPLETED_WITH_PROBLEMS if bad else Outcome.COMPLETED,
            started=self._started,
            ended=self._clock.now(),
            **file_figures(result),
            stored_size=(self._planned.bytes_up if self._planned else self._repository.bytes_written - self._written),
            requests={m: n - self._requests.get(m, 0) for m, n in requests.items() if n > self._requests.get(m, 0)},
            seconds=self._clock.monotonic() - self._begin,
            seconds_by_stage=dict(self._stages),
            parent=self._parent.id if self._parent is not None and self._kind == "incremental" else "",
            notes=(*self._notes, *result.notes, *self._notes_on(result)),
            problems=problems,
            dry_run=self._options.dry_run,
            planned=self._planned,
            encrypted=self._repository.encrypted,
            changes=changes_of(result, self._repository.index, earlier=self._parent, options=self._options),
        )

    def _notes_on(self, result: BackupResult) -> Iterator[str]:
        if self._selection.too_large:
            yield f"{self._selection.too_large} files longer than {self._options.max_file_size} bytes were left out"
        if result.counts.read_again:
            yield (
                f"{result.counts.read_again} unchanged files were read again, "
                "because the repository no longer held their content"
            )

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        begin = self._clock.monotonic()
        try:
            yield
        finally:
            self._stages[name] = self._stages.get(name, 0.0) + self._clock.monotonic() - begin


def _is_stored(index: Index, blob: BlobId) -> bool:
    return index.contains(blob, BlobType.DATA)
