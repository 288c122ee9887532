"""Carrying out a restore plan.

The order: directories; what needs no download; the content of files, pack by pack in parallel; further names of files;
what has to go; the metadata of directories, deepest first, because everything before would change their times; and
last everything is flushed to the disk at once. A file is whole from the moment it has its name, so a restore may end at
any point, and the next plan goes on from what is there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator

from backup_core.clock import Clock
from backup_core.engine.copies import Copies
from backup_core.engine.durability import flush_to_disk
from backup_core.engine.restore_crew import Crew
from backup_core.engine.restore_entry import NO_LINK, Action
from backup_core.engine.restore_hands import Hands
from backup_core.engine.restore_layout import printable
from backup_core.engine.restore_ledger import Gate, Ledger, Stop
from backup_core.engine.restore_parts import PartsInProgress
from backup_core.engine.restore_plan import RestorePlan
from backup_core.engine.restore_verify import verify_files
from backup_core.engine.restore_write import EntryWriter
from backup_core.engine.target import ROOT, Target, free_bytes
from backup_core.engine.worker_pool import default_worker_count
from backup_core.errors import Cancelled, RestoreError
from backup_core.progress import CancelToken, ProgressTracker
from backup_core.repository.repository import Repository
from backup_core.results import Outcome, Problem, RestoreSummary, Severity

_WRITTEN = (Action.CREATE, Action.REPLACE)
_MOST_WORKERS = 8


def run_restore(
    repository: Repository,
    plan: RestorePlan,
    *,
    clock: Clock,
    progress: ProgressTracker,
    cancel: CancelToken,
    workers: int | None = None,
    verify: bool = False,
    copies: Copies | None = None,
    hands: Hands | None = None,
) -> RestoreSummary:
    """Do what ``plan`` says. ``workers``: packs fetched at once (None: as suits). ``verify``: read every
    file back from the disk afterwards, those that were kept too, and compare it with its hashes. ``copies``: those that
    the plan was made with. ``hands``: processes forked in advance; without, they are started when that pays.

    What cannot be restored is in the summary, with reasons; the rest is restored. When cancelled, the outcome
    says so within a second, and only whole files are left. When the server is lost, files that are half fetched stay
    under part names for the next run. Raises ``RestoreError`` before anything is written when the target cannot be
    had, is in use by another restore, or has too little room.
    """
    free = free_bytes(plan.target)
    if plan.space_needed > free:
        raise RestoreError(
            f"the restore needs {plan.space_needed} bytes and {plan.target} has {free} free; "
            "make room or choose another target",
            path=plan.target,
        )
    with Target(plan.target, create=True) as target:
        target.hold()
        readable = copies or Copies(repository, cancel=cancel)
        run = _Run(readable, plan, target, clock=clock, progress=progress, cancel=cancel)
        with hands or Hands() as writing:
            run.hands = writing if writing.start(plan, readable.first_key, target.fd) else None
            return run.carry_out(workers or _workers(repository.backend.promises.parallel_requests), verify=verify)


def _workers(requests: int) -> int:
    """Packs at once: one more than processors keeps those and the line busy, and each takes a pack's memory."""
    return max(1, min(_MOST_WORKERS, requests, default_worker_count() + 1))


class _Stopped(Exception):
    """The ledger says that nothing more is to be done."""


class _Run:
    def __init__(
        self,
        copies: Copies,
        plan: RestorePlan,
        target: Target,
        *,
        clock: Clock,
        progress: ProgressTracker,
        cancel: CancelToken,
    ) -> None:
        self._copies = copies
        self._plan = plan
        self._target = target
        self._clock = clock
        self._progress = progress
        self._cancel = cancel
        self._started = clock.monotonic()
        self._requests = copies.requests()
        self._downloaded = copies.bytes_down()
        self._ledger = Ledger(plan, progress)
        self._parts = PartsInProgress(plan)
        self._gate = Gate()
        self._writer = self._make_writer()
        self.hands: Hands | None = None
        """Processes that open and write what is fetched; None: threads do."""

    def _make_writer(self) -> EntryWriter:
        return EntryWriter(self._plan, self._target.fd, self._parts, self._ledger)

    def carry_out(self, workers: int, *, verify: bool) -> RestoreSummary:
        try:
            with self._ending():
                self._make_what_needs_no_download()
                self._fetch(workers)
                self._make_links()
                if verify:
                    self._flush()  # all files at once: far cheaper than each before it is read back
                    self._verify()
                self._delete_extras()
                self._stamp_directories()
                self._flush()
        finally:
            self._ledger.tell()
            self._writer.close()
        self._progress.phase("done", files_total=self._plan.files_total, bytes_total=self._plan.bytes_to_write)
        return self._summary()

    @contextlib.contextmanager
    def _ending(self) -> Iterator[None]:
        """However the work ends, leave whole files only; parts stay just for a server that may come back."""
        try:
            yield
        except (_Stopped, Cancelled):
            if self._cancel.cancelled:
                self._ledger.stop_because(Stop.CANCELLED, self._cancel.reason)
        finally:
            self._gate.close()
            if self._ledger.stop is not Stop.NO_SERVER:
                for number in self._parts.unfinished():
                    with contextlib.suppress(OSError):
                        self._writer.abandon(number)

    def _each(self, numbers: Iterable[int], act: Callable[[int], None]) -> None:
        """Act on entries one by one; what goes wrong with one is recorded, and the next one follows."""
        for number in numbers:
            self._cancel.check()
            with self._writer.attempt(number):
                act(number)
            if self._ledger.stop is not None:
                raise _Stopped

    def _make_what_needs_no_download(self) -> None:
        plan = self._plan
        self._progress.phase("restore", files_total=plan.files_total, bytes_total=plan.bytes_to_write)
        self._progress.advance(bytes_=plan.bytes_to_write - plan.bytes_to_fetch)
        for extra in plan.leftovers:
            with contextlib.suppress(OSError):
                self._writer.delete(extra.parent, extra.name)
        entries, waiting, failed = plan.entries, self._parts.waiting_for, self._ledger.has_failed
        self._each((n for n, e in enumerate(entries) if not waiting(n) or failed(e.parent)), self._make)

    def _make(self, number: int) -> None:
        entry = self._plan.entries[number]
        is_file = entry.type != "dir"
        if entry.action in (Action.FAIL, Action.SKIP):
            self._progress.advance(files=is_file)
        elif entry.parent != ROOT and self._ledger.has_failed(entry.parent):
            self._ledger.fail(number, "its directory could not be made")
            self._progress.advance(files=is_file)
        elif not is_file:
            self._writer.make_directory(number)
        elif entry.action not in _WRITTEN:
            if entry.action is Action.UPDATE:
                self._writer.stamp(number)
            self._progress.advance(files=1)
        elif entry.link == NO_LINK:
            if entry.type != "file":
                self._writer.make_special(number)
            else:
                self._writer.make_file(number)

    def _fetch(self, workers: int) -> None:
        Crew(
            self._copies,
            self._plan,
            make_writer=self._make_writer,
            parts=self._parts,
            ledger=self._ledger,
            gate=self._gate,
            progress=self._progress,
            cancel=self._cancel,
            hands=self.hands,
        ).run(max(1, min(workers, len(self._plan.packs))))
        if self._ledger.stop is not None:
            raise _Stopped

    def _make_links(self) -> None:
        links = [n for n, entry in enumerate(self._plan.entries) if entry.link != NO_LINK and entry.action in _WRITTEN]
        self._each(links, self._make_link)

    def _make_link(self, number: int) -> None:
        first = self._plan.entries[number].link
        if self._ledger.has_failed(number):
            return
        if self._ledger.has_failed(first):
            self._ledger.fail(number, f"it is another name of {self._plan.shown(first)}, which failed")
        else:
            self._writer.make_link(number)

    def _verify(self) -> None:
        self._ledger.tell()
        self._progress.phase("verify", files_total=self._plan.files_total, bytes_total=self._plan.bytes_total)
        verify_files(
            self._copies,
            self._plan,
            root=self._target.fd,
            ledger=self._ledger,
            progress=self._progress,
            cancel=self._cancel,
        )

    def _delete_extras(self) -> None:
        """What the snapshot does not hold goes only now, when all that it holds is there."""
        if self._ledger.failures():
            if self._plan.deletes:
                told = "nothing was deleted at the target, because not everything could be restored"
                self._ledger.add(Problem("not-deleted", told))
            return
        for extra in self._plan.deletes:
            self._cancel.check()
            try:
                self._writer.delete(extra.parent, extra.name)
            except (OSError, RestoreError) as error:
                shown = f"{self._plan.shown(extra.parent)}/{printable(extra.name)}"
                told = f"{shown} is not in the backup and could not be deleted: {error}"
                self._ledger.add(Problem("not-deleted", told, shown))

    def _stamp_directories(self) -> None:
        given_up = (Action.SKIP, Action.FAIL)
        made = [n for n, e in enumerate(self._plan.entries) if e.type == "dir" and e.action not in given_up]
        self._each((n for n in reversed(made) if not self._ledger.has_failed(n)), self._writer.stamp_directory)

    def _flush(self) -> None:
        """Say "restored" only of what a power failure does not take back."""
        self._progress.say("writing to disk")
        try:
            flush_to_disk(self._target.fd)
        except OSError as error:
            told = f"not all that was restored has reached the disk: {error.strerror}. Check the disk and restore again"
            self._ledger.add(Problem("not-on-disk", told, severity=Severity.ERROR))
        self._progress.say("")

    def _summary(self) -> RestoreSummary:
        plan, ledger = self._plan, self._ledger
        failed = ledger.failures()
        problems = (*ledger.problems(), *self._copies.problems())
        if ledger.stop is not None and ledger.stop is not Stop.CANCELLED:
            told = f"the restore stopped: {ledger.stop_reason}. Run it again to go on from what is there"
            kind = "no-room" if ledger.stop is Stop.NO_ROOM else "no-server"
            problems = (*problems, Problem(kind, told, severity=Severity.ERROR))
        return RestoreSummary(
            target=plan.target,
            outcome=_outcome(
                ledger.stop,
                wrong=bool(failed) or any(p.severity is not Severity.HINT for p in problems),
                right=plan.keeps > 0 or ledger.written > 0,
            ),
            files_total=plan.files_total,
            files_restored=ledger.written,
            files_unchanged=plan.keeps,
            files_verified=ledger.verified,
            bytes_restored=ledger.bytes_written,
            bytes_downloaded=self._copies.bytes_down() - self._downloaded,
            failed=failed,
            problems=problems,
            seconds=self._clock.monotonic() - self._started,
            requests=dict(self._copies.requests() - self._requests),
            blobs_by_copy=self._copies.blobs_by_copy(),
        )


def _outcome(stop: Stop | None, *, wrong: bool, right: bool) -> Outcome:
    if stop is Stop.CANCELLED:
        return Outcome.CANCELLED
    if stop is not None or (wrong and not right):
        return Outcome.FAILED
    return Outcome.COMPLETED_WITH_PROBLEMS if wrong else Outcome.COMPLETED
