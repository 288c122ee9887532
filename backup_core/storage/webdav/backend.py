"""The backend for WebDAV servers: every promise of ``storage.backend``, kept on servers that break most of theirs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import httpx

from backup_core.clock import Clock
from backup_core.errors import (
    AccessDenied,
    NotFound,
    ObjectTooLarge,
    ServerFailure,
    Unsupported,
)
from backup_core.progress import CancelToken
from backup_core.storage.account import AccountUse
from backup_core.storage.backend import Listing, ObjectInfo, Promises, RequestCounter, Space
from backup_core.storage.names import as_views, check_directory, check_name, check_range
from backup_core.storage.options import BackendOptions
from backup_core.storage.probe_report import ProbeOptions, ProbeReport
from backup_core.storage.request_budget import RequestBudget
from backup_core.storage.retry import OnWait, Random, Retrier, evenly, silently
from backup_core.storage.webdav.client import WebDAVClient
from backup_core.storage.webdav.deletions import Deletions
from backup_core.storage.webdav.directories import Directories
from backup_core.storage.webdav.download import Download
from backup_core.storage.webdav.listing import Folder, Page, read_folder
from backup_core.storage.webdav.multistatus import Entry, parse
from backup_core.storage.webdav.profiles import Profile, profile_for
from backup_core.storage.webdav.session import make_auth, make_dav_client
from backup_core.storage.webdav.status import Reply, means_missing, moment_of
from backup_core.storage.webdav.upload import Upload
from backup_core.storage.webdav.urls import Segments, parse_place
from backup_core.types import Buffer, Secret

Result = TypeVar("Result")

SMALL = 256 * 1024
"""Bytes that may be sent in vain: a PUT of no more finds out by itself whether its folder is missing."""
LISTING_STAYS_TRUE = 60.0
"""Seconds for which the listing of a folder may bear witness that a child is missing, besides the server's own word."""


class WebDAVBackend:
    """Objects in a folder of a WebDAV server. Nothing is sent before the first call."""

    def __init__(
        self,
        url: str,
        *,
        username: str = "",
        password: Secret | None = None,
        options: BackendOptions,
        clock: Clock,
        random: Random = evenly,
        cancel: CancelToken | None = None,
        on_wait: OnWait = silently,
        account: AccountUse | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Raises ``ConfigError`` for an address or options that cannot be used. ``transport`` replaces the network."""
        account = account or AccountUse()
        self._place = parse_place(url)
        self._profile = profile_for(options)
        self._clock = clock
        self._requests = RequestCounter(on_bytes=account.on_bytes)
        self._budget = _budget(self._profile, clock, account)
        self._retrier = Retrier(
            options.retry,
            clock=clock,
            random=random,
            cancel=cancel,
            on_wait=on_wait,
            on_limit=self._limited,
        )
        auth = make_auth(self._place, username, password, options)
        self._client = WebDAVClient(
            self._place,
            make_dav_client(
                self._place,
                auth=auth,
                options=options,
                connections=self._profile.parallel_requests,
                on_request=self._requests.add,
                on_answer=self._retrier.answered,
                transport=transport,
            ),
            profile=self._profile,
            options=options,
            auth=auth,
            clock=clock,
            requests=self._requests,
            cancel=cancel,
            budget=self._budget,
            wait_until=self._retrier.wait_until,
            throttles=account.throttles,
        )
        self._deletions = Deletions(
            self._client, self._retrier, remaining=self._names_in, watched=self._budget is not None, cancel=cancel
        )
        if self._budget is not None:
            self._client.watched_by(self._deletions)
        self._directories = Directories(self._client, self._retrier)
        self._witnesses: dict[Segments, tuple[float, Folder]] = {}
        self._witness_lock = threading.Lock()

    @property
    def location(self) -> str:
        return str(self._place)

    @property
    def promises(self) -> Promises:
        return self._profile.promises

    @property
    def requests(self) -> RequestCounter:
        return self._requests

    def put(self, name: str, data: Buffer | Sequence[Buffer]) -> None:
        segments = self._place.below(check_name(name))
        views, size = as_views(data)
        limit = self._profile.max_object_size
        if limit is not None and size > limit:
            raise ObjectTooLarge(
                f"{name} has {size} bytes, the server takes at most {limit}: choose a smaller pack size", key=name
            )
        self._prepare_folder(segments[:-1], size)
        Upload(
            self._client,
            self._directories,
            self._retrier,
            name=name,
            segments=segments,
            views=views,
            size=size,
            stored_size=lambda: self._stored_size(name),
        ).run()
        self._directories.learn(segments[:-1], (), complete=False)
        self._outdate_witnesses(segments)

    def get(self, name: str, *, offset: int = 0, length: int | None = None) -> bytes:
        segments = self._place.below(check_name(name))
        check_range(offset, length)
        if length == 0:
            return b""  # no request can ask for nothing
        download = Download(
            self._client,
            name=name,
            segments=segments,
            offset=offset,
            length=length,
            stored_size=lambda: self._stored_size(name),
        )
        return self._unless_wrongly_missing(name, download.once)

    def stat(self, name: str) -> ObjectInfo:
        check_name(name)

        def once() -> ObjectInfo:
            entry = self._look_at(name)
            if entry is None or entry.is_collection:
                raise NotFound(f"there is no object {name}", key=name)
            if entry.size is None:
                raise Unsupported(f"the server does not say how large {name} is", key=name)
            return ObjectInfo(name, entry.size)

        return self._unless_wrongly_missing(name, once)

    def list(self, directory: str) -> Listing:
        segments = self._place.below(check_directory(directory))
        return self._retrier.call(lambda: self._listing(directory, segments))

    def delete(self, name: str) -> None:
        self._deletions.delete(self._place.below(check_name(name)))

    def space(self) -> Space:
        def once() -> Space:
            reply = self._client.propfind(self._place.segments, "0", name="", quota=True)
            if means_missing(reply):
                return Space()
            entries = self._entries(reply, "")
            numbers = entries[0].numbers if entries else {}
            return Space(used=_plain(numbers, "quota-used-bytes"), available=_plain(numbers, "quota-available-bytes"))

        return self._retrier.call(once)

    def directories_exist(self, directories: Iterable[str]) -> None:
        """See ``storage.backend.KnowsDirectories``."""
        self._directories.expect(self._place.below(check_directory(directory)) for directory in directories)

    def make_directories(self, directories: Iterable[str]) -> None:
        """See ``storage.backend.KnowsDirectories``."""
        for directory in directories:
            segments = self._place.below(check_directory(directory))
            self._directories.make(segments)
            self._outdate_witnesses(segments)

    def measure(
        self,
        options: ProbeOptions,
        *,
        cancel: CancelToken | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> ProbeReport:
        """See ``storage.probe_report.Measurable``. The connection must have been opened for two requests at a time."""
        from backup_core.storage.webdav.probe import Probe

        probe = Probe(
            self._client,
            options,
            clock=self._clock,
            requests=self._requests,
            listed=lambda segments: self._folder(segments) or Folder(),
            space=self.space,
            cancel=cancel,
            say=say,
        )
        return probe.run()

    def close(self) -> None:
        self._deletions.close()
        self._client.close()
        if self._budget is not None:
            self._budget.close()

    def _limited(self, seconds: float) -> None:
        if self._budget is not None:
            self._budget.blocked(seconds)
        self._deletions.refused()

    def _names_in(self, folder: Segments) -> frozenset[str]:
        directory = "/".join(folder[len(self._place.segments) :])
        listing = self.list(directory)
        if not listing.proved_complete:
            raise ServerFailure(f"what is left in {directory or '/'} cannot be known: {listing.doubt}")
        return frozenset(info.name.rpartition("/")[2] for info in listing.objects)

    def _prepare_folder(self, folder: Segments, size: int) -> None:
        """Make the folder of an object first, where it is probably missing; find out, where a try would be dear."""
        if self._directories.exists(folder) is None and size > SMALL and folder != self._place.segments:
            self._folder(folder[:-1])
        if self._directories.exists(folder) is False:
            self._directories.make(folder)

    def _folder(self, segments: Segments) -> Folder | None:
        """One folder as the server shows it, None when it says that there is none; remembered either way."""
        folder = read_folder(
            lambda query: self._retrier.call(lambda: self._page(segments, query)), self._place, segments, self._profile
        )
        if folder is None:
            self._directories.learn_missing(segments)
        elif folder.is_folder:
            self._directories.learn(segments, folder.folders, complete=not folder.doubt)
            now = self._clock.monotonic()
            with self._witness_lock:
                fresh = {s: (t, f) for s, (t, f) in self._witnesses.items() if now - t <= LISTING_STAYS_TRUE}
                self._witnesses = {**fresh, segments: (now, folder)}
        return folder

    def _page(self, segments: Segments, query: str) -> Page | None:
        name = "/".join(segments[len(self._place.segments) :])
        reply = self._client.propfind(segments, "1", name=name, query=query)
        if means_missing(reply):
            return None
        return Page(self._entries(reply, name), reply.headers)

    def _listing(self, directory: str, segments: Segments) -> Listing:
        folder = self._folder(segments)
        if folder is None:
            doubt = self._doubt_that_missing(segments)
            return Listing(directory, (), exists=bool(doubt), proved_complete=not doubt, doubt=doubt)
        prefix = f"{directory}/" if directory else ""
        return Listing(
            directory,
            tuple(
                ObjectInfo(prefix + name, size, moment_of(folder.modified.get(name, "")))
                for name, size in sorted(folder.objects.items())
            ),
            tuple(sorted(prefix + name for name in folder.folders)),
            exists=folder.is_folder,
            proved_complete=not folder.doubt,
            doubt=folder.doubt,
            moment=moment_of(folder.moment),
        )

    def _doubt_that_missing(self, segments: Segments) -> str:
        """Why a 404 is no proof, "" when it is one: the folder above must answer, and must not show the name.

        A blocked server may say 404 of anything, and an address that is no WebDAV folder always does.
        """
        if not segments:
            return "the server has no WebDAV folder at this address"
        parent = segments[:-1]
        for length in reversed(range(len(segments))):
            folder = self._witness(segments[:length])
            if folder is not None:
                if segments[length] not in folder and length < len(parent):
                    return folder.doubt  # nor is there anything below
                break
        folder = self._witness(parent)
        if folder is None:
            try:
                folder = self._folder(parent)
            except (AccessDenied, Unsupported) as error:
                return f"the server says that it does not exist, but does not show the folder above it ({error})"
        if folder is None:
            return self._doubt_that_missing(parent)
        if segments[-1] in folder:
            with self._witness_lock:
                self._witnesses.pop(parent, None)
            raise ServerFailure(f"the server says that {segments[-1]} does not exist, and lists it one folder above")
        return folder.doubt

    def _witness(self, segments: Segments) -> Folder | None:
        with self._witness_lock:
            moment, folder = self._witnesses.get(segments, (float("-inf"), Folder()))
        fresh = self._clock.monotonic() - moment <= LISTING_STAYS_TRUE
        return folder if fresh and not self._limited_of_late else None

    def _outdate_witnesses(self, made: Segments) -> None:
        """What has just been made is there, whatever was seen before."""
        with self._witness_lock:
            self._witnesses = {
                s: found
                for s, found in self._witnesses.items()
                if made[: len(s)] != s or len(s) == len(made) or made[len(s)] in found[1]
            }

    @property
    def _limited_of_late(self) -> bool:
        return self._retrier.limited_within(self._profile.window_seconds)

    def _unless_wrongly_missing(self, name: str, operation: Callable[[], Result]) -> Result:
        """Carry out, with retries; a "not found" of a server that refused requests of late is looked into.

        So is every one of a service with a request window: another client of the account may have used it up.
        """
        may_hide = self._profile.window_requests is not None

        def once() -> Result:
            try:
                return operation()
            except NotFound:
                if (may_hide or self._limited_of_late) and (doubt := self._doubt_that_missing(self._place.below(name))):
                    raise ServerFailure(f"{name} may be missing, or hidden by the limit: {doubt}", key=name) from None
                raise

        return self._retrier.call(once)

    def _stored_size(self, name: str) -> int | None:
        entry = self._look_at(name)
        return None if entry is None or entry.is_collection else entry.size

    def _look_at(self, name: str) -> Entry | None:
        """One resource, None when it does not exist; a single request."""
        reply = self._client.propfind(self._place.below(name), "0", name=name)
        if means_missing(reply):
            return None
        entries = self._entries(reply, name)
        return entries[0] if entries and entries[0].status < 300 else None

    def _entries(self, reply: Reply, name: str) -> Sequence[Entry]:
        """The resources of a 207 answer (some servers say 200); anything else is an error."""
        if reply.status == 207 or (reply.status == 200 and not reply.is_web_page):
            return parse(reply.body)
        raise self._client.error(reply, name=name)


def _budget(profile: Profile, clock: Clock, account: AccountUse) -> RequestBudget | None:
    if profile.window_requests is None:
        return None
    return RequestBudget(
        profile.window_requests,
        profile.window_seconds,
        clock=clock,
        ledger=account.ledger,
        priority=account.priority,
    )


def _plain(numbers: dict[str, int], name: str) -> int | None:
    """A quota property; servers write negative numbers for "unknown" and "unlimited"."""
    value = numbers.get(name, -1)
    return value if value >= 0 else None
