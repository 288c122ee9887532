"""Measuring a WebDAV server: what it does with the requests that backups rest upon, in a folder of its own.

Nothing is believed that a server says of itself; each promise is put to the test with a few small objects. What is left
of them is removed at the end, whatever happened.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from email.utils import parsedate_to_datetime
from statistics import median

from backup_core.clock import Clock
from backup_core.errors import RateLimited, StorageError
from backup_core.progress import CancelToken
from backup_core.storage.backend import RequestCounter, Space
from backup_core.storage.probe_report import ProbeOptions, ProbeReport, Verdict
from backup_core.storage.webdav.client import WebDAVClient
from backup_core.storage.webdav.listing import Folder
from backup_core.storage.webdav.multistatus import parse
from backup_core.storage.webdav.probe_body import noise
from backup_core.storage.webdav.probe_folder import TrialFolder
from backup_core.storage.webdav.status import SUCCESS
from backup_core.storage.webdav.urls import Segments, same

_LOG = logging.getLogger(__name__)
_GOOD, _FAIR, _POOR, _UNKNOWN = Verdict.GOOD, Verdict.FAIR, Verdict.POOR, Verdict.UNKNOWN
_SMALLEST_SIZE = 1024 * 1024
_LATENCY_TRIES = 5
_MOST_SKEW = 60.0
"""Seconds of a wrong clock that do no harm."""


class Probe:
    """One measurement; ``run`` once."""

    def __init__(
        self,
        client: WebDAVClient,
        options: ProbeOptions,
        *,
        clock: Clock,
        requests: RequestCounter,
        listed: Callable[[Segments], Folder],
        space: Callable[[], Space],
        cancel: CancelToken | None,
        say: Callable[[str], None],
    ) -> None:
        """``listed`` gives what is in a folder, read as backups read it."""
        self._options = options
        self._clock = clock
        self._requests = requests
        self._space = space
        self._cancel = cancel
        self._say = say
        self._folder = TrialFolder(client, options.folder, clock=clock, listed=listed, cancel=cancel)
        self._report = ProbeReport()

    def run(self) -> ProbeReport:
        """Measure, then clean up. Raises ``StorageError`` when nothing can be measured, and ``Cancelled``."""
        before = self._requests.total
        try:
            self._folder.make()
            for what, check in self._checks():
                if self._cancel is not None:
                    self._cancel.check()
                self._say(f"measuring {what}")
                self._carried_out(what, check)
        finally:
            self._say("cleaning up")
            self._clean_up()
            self._say("")
            self._report.requests = self._requests.total - before
        return self._report

    def _checks(self) -> Iterator[tuple[str, Callable[[], None]]]:
        yield "clock", self._skew
        yield "room", self._room
        yield "folders", self._folders
        yield "round-trip", self._round_trip
        yield "latency", self._latency
        yield "ranges", self._ranges
        yield "conditional-put", self._conditional_put
        yield "atomic-put", self._atomic_put
        yield "listing", self._listing
        yield "names", self._names
        yield "speed", self._speed

    def _carried_out(self, what: str, check: Callable[[], None]) -> None:
        try:
            check()
        except RateLimited:
            raise
        except StorageError as error:
            self._report.add(what, _POOR, str(error), weight=2)

    # ---- the checks

    def _skew(self) -> None:
        with suppress(ValueError):
            told = parsedate_to_datetime(self._folder.look().headers.get("date", ""))
            skew = self._report.clock_skew = (told - self._clock.now()).total_seconds()
            verdict = _GOOD if abs(skew) <= _MOST_SKEW else _FAIR
            self._report.add("clock", verdict, f"{abs(skew):.0f} s {'ahead' if skew >= 0 else 'behind'}")
            return
        self._report.add("clock", _UNKNOWN, "the server does not say what time it is")

    def _room(self) -> None:
        space = self._space()
        self._report.used, self._report.available = space.used, space.available
        if space.available is None:
            self._report.add("room", _FAIR, "the server does not say how much room is left")
        else:
            self._report.add("room", _GOOD, f"{space.available / 2**30:.1f} GiB left")

    def _folders(self) -> None:
        again = self._folder.make_folder("").status
        orphan = self._folder.make_folder("none/below").status
        no_parent = self._folder.put("none/object", b"x").status
        detail = (
            f"MKCOL of an existing folder {again}, below a missing one {orphan}; PUT below a missing one {no_parent}"
        )
        clear = again == 405 and orphan == 409 and no_parent in (404, 409)
        self._report.add("folders", _GOOD if clear else _FAIR, detail)

    def _round_trip(self) -> None:
        content = noise(64 * 1024, 1)
        stored = self._folder.put("object", content)
        if stored.status not in SUCCESS:
            raise self._folder.error(stored, "object")
        same = self._folder.get("object")[1] == content
        size = self._folder.size("object")
        replaced = self._folder.put("object", content[:1000])
        overwritten = replaced.status in SUCCESS and self._folder.size("object") == 1000
        gone = self._folder.delete("object").status
        left = self._folder.size("object")
        verdict = _GOOD if same and size == len(content) and overwritten and left is None else _POOR
        words = [
            "comes back the same" if same else "COMES BACK CHANGED",
            "size told" if size == len(content) else f"size told as {size}",
            "overwritten" if overwritten else f"NOT overwritten ({replaced.status})",
            "deleted" if left is None else f"NOT deleted ({gone})",
        ]
        self._report.add("round-trip", verdict, ", ".join(words), weight=5)

    def _latency(self) -> None:
        seconds = []
        for _ in range(_LATENCY_TRIES):
            begun = self._clock.monotonic()
            self._folder.look()
            seconds.append(self._clock.monotonic() - begun)
        found = self._report.latency = median(seconds)
        verdict = _GOOD if found < 0.3 else _FAIR if found < 2 else _POOR
        self._report.add("latency", verdict, f"{found * 1000:.0f} ms for a small question")

    def _ranges(self) -> None:
        content = noise(64 * 1024, 2)
        self._folder.put("ranges", content)
        status, middle = self._folder.get("ranges", wanted="bytes=1000-1999")
        _, tail = self._folder.get("ranges", wanted="bytes=65000-")
        exact = status == 206 and middle == content[1000:2000] and tail == content[65000:]
        if exact:
            self._report.add("ranges", _GOOD, "exact parts of objects can be read", weight=3)
        else:
            detail = (
                f"asked for a part, the server answers {status} with {len(middle)} bytes: restores read whole packs"
            )
            self._report.add("ranges", _POOR, detail, weight=3)

    def _conditional_put(self) -> None:
        self._folder.put("conditional", b"first")
        reply = self._folder.put("conditional", b"second one", headers={"If-None-Match": "*"})
        kept = self._folder.size("conditional") == len(b"first")
        self._report.conditional_put = reply.status == 412 and kept
        if self._report.conditional_put:
            self._report.add("conditional-put", _GOOD, "If-None-Match: * protects what exists (412)")
        else:
            detail = f"If-None-Match: * is answered {reply.status}, " + (
                "kept" if kept else "and what existed replaced"
            )
            self._report.add("conditional-put", _FAIR, f"{detail}; backups do not rely on it")

    def _atomic_put(self) -> None:
        new, seen_new = self._folder.cut_upload("cut-new")
        self._folder.put("cut-old", b"whole")
        old, seen_old = self._folder.cut_upload("cut-old")
        kept = old == len(b"whole")
        seen = seen_new is not None or seen_old != len(b"whole")
        self._report.atomic_put = new is None and kept and not seen
        if self._report.atomic_put:
            detail = "a cut upload leaves nothing, and never shows before it is whole"
            self._report.add("atomic-put", _GOOD, detail, weight=4)
            return
        told = [
            f"a cut upload leaves {new} bytes under the final name" if new is not None else "",
            f"a cut overwrite leaves {old} bytes instead of the old ones" if not kept else "",
            "an upload under way can be seen" if seen else "",
        ]
        detail = ", ".join(filter(None, told)) + ": objects are confirmed by their size after each run"
        self._report.add("atomic-put", _FAIR, detail, weight=4)

    def _listing(self) -> None:
        self._folder.make_folder("many")
        names = {f"{number:05}" for number in range(self._options.entries)}
        for name in sorted(names):
            if self._cancel is not None:
                self._cancel.check()
            self._folder.put(f"many/{name}", b"x")
        first = self._folder.one_answer("many")
        in_first = sum(1 for entry in parse(first.body) if not entry.is_collection)
        found = self._folder.listed("many")
        whole, doubt = set(found.objects), found.doubt
        if whole == names and in_first == len(names):
            self._report.add("listing", _GOOD, f"{len(names)} entries in one answer", weight=3)
        elif whole == names:
            self._report.page_size = in_first
            self._report.add("listing", _GOOD, f"{len(names)} entries in pages of {in_first}", weight=3)
        else:
            self._report.page_size = in_first or None
            missing = len(names - whole)
            detail = f"{missing} of {len(names)} entries are missing, {doubt or 'and the server does not say so'}"
            self._report.add("listing", _POOR, detail, weight=3)

    def _names(self) -> None:
        name = "déjà vu 100% #1+2;重要"
        made = self._folder.make_folder(name).status
        shown = {entry for entry in self._folder.listed().folders if "重要" in entry}
        fine = made in SUCCESS and any(same((name,), (entry,)) for entry in shown)
        detail = (
            "folders may have any name" if fine else f"a folder {name!r} is answered {made}, shown as {sorted(shown)}"
        )
        self._report.add("names", _GOOD if fine else _FAIR, detail)
        self._folder.delete_folder(name)

    def _speed(self) -> None:
        size = self._options.size
        while True:
            content = noise(size, 3)
            begun = self._clock.monotonic()
            reply = self._folder.put("speed", content)
            seconds = self._clock.monotonic() - begun
            if reply.status in SUCCESS or size // 2 < _SMALLEST_SIZE:
                break
            size //= 2
        if reply.status not in SUCCESS:
            raise self._folder.error(reply, "speed")
        if size < self._options.size:
            self._report.max_object_size = size
            detail = f"{self._options.size} bytes are refused, {size} are taken"
            self._report.add("size", _FAIR, detail, weight=2)
        else:
            self._report.add("size", _GOOD, f"objects of {size / 2**20:.0f} MiB are taken", weight=2)
        begun_down = self._clock.monotonic()
        same = self._folder.get("speed")[1] == content
        down = self._clock.monotonic() - begun_down
        self._report.upload_rate = size / max(seconds, 1e-6)
        self._report.download_rate = size / max(down, 1e-6)
        rates = f"{self._report.upload_rate / 2**20:.1f} MiB/s up, {self._report.download_rate / 2**20:.1f} MiB/s down"
        self._report.add("speed", _GOOD if same else _POOR, rates if same else f"{rates}, and COMES BACK CHANGED")

    def _clean_up(self) -> None:
        shown = self._folder.shown
        try:
            self._report.left_behind = self._folder.remove()
        except StorageError as error:
            self._report.left_behind = shown
            _LOG.warning("%s could not be removed after measuring: %s", shown, error)
            self._report.add("clean-up", _POOR, f"{shown} could not be removed: {error}")
            return
        if stays := self._report.left_behind:
            self._report.add("clean-up", _FAIR, f"the empty folder {stays} stays: this server deletes none there")
