"""Getting exactly the bytes that were asked for; a cut transfer goes on where it broke.

Objects never change, so continuing needs no check that they are still the same; whoever reads them verifies them.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable

from backup_core.errors import ShortRead, StorageError, Unsupported
from backup_core.storage.webdav.client import LARGEST_ERROR, Incoming, WebDAVClient
from backup_core.storage.webdav.status import Reply, web_page
from backup_core.storage.webdav.urls import Segments

LARGEST_OBJECT = 1 << 30
"""Most bytes that are taken of an object of which only the server says how long it is."""

_LENGTH = re.compile("[0-9]{1,18}")
_CONTENT_RANGE = re.compile(r"^\s*bytes\s+([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)\s*$", re.IGNORECASE)
_UNSATISFIED = re.compile(r"^\s*bytes\s+\*/([0-9]{1,18})\s*$", re.IGNORECASE)


class Download:
    """One range of one object; ``once`` is called until it succeeds."""

    def __init__(
        self,
        client: WebDAVClient,
        *,
        name: str,
        segments: Segments,
        offset: int,
        length: int | None,
        stored_size: Callable[[], int | None],
    ) -> None:
        """``length`` None reads to the end. ``stored_size`` asks the server, where its answer does not tell."""
        self._client = client
        self._name = name
        self._segments = segments
        self._offset = offset
        self._length = length
        self._stored_size = stored_size
        self._content = io.BytesIO()
        self._got = 0

    def once(self) -> bytes:
        """The bytes, or an error; what arrived before an error is kept for the next call."""
        if not self._is_complete:
            start = self._offset + self._got
            with self._client.get(self._segments, self._headers(start), name=self._name) as incoming:
                if incoming.status != 416:
                    self._receive(incoming, skip=self._understand(incoming, start))
            # Only now, because this request would wait for ever for the connection that the other one held.
            if incoming.status == 416:
                self._understand_end(incoming)
            elif _tells_no_end(incoming):
                self._settle(self._stored_size(), start)
        if self._length is not None and self._got != self._length:
            raise ShortRead(f"GET {self._name}: {self._got} bytes came instead of {self._length}", key=self._name)
        return self._content.getvalue()  # shares the memory, where joining parts would need twice as much

    @property
    def _is_complete(self) -> bool:
        return self._length is not None and self._got >= self._length

    def _headers(self, start: int) -> dict[str, str]:
        if self._length is not None:
            return {"Range": f"bytes={start}-{self._offset + self._length - 1}"}
        return {"Range": f"bytes={start}-"} if start else {}

    def _receive(self, incoming: Incoming, *, skip: int) -> None:
        """Keep what comes in, without the first ``skip`` bytes and what lies behind the range."""
        is_page = incoming.headers.get("content-type", "").lower().startswith("text/html")
        for chunk in incoming.chunks:
            if is_page and not self._got and chunk.lstrip().startswith(b"<"):
                raise web_page("GET", self._name)
            useful = chunk[skip:]
            skip -= len(chunk) - len(useful)
            if self._length is not None:
                useful = useful[: self._length - self._got]
            self._content.write(useful)
            self._got += len(useful)
            if self._is_complete:
                return
            self._bound(self._got)

    def _bound(self, length: int) -> None:
        if length > LARGEST_OBJECT:
            raise Unsupported(
                f"GET {self._name}: the server gives more than {LARGEST_OBJECT} bytes, and no object is that long",
                key=self._name,
            )

    def _understand(self, incoming: Incoming, start: int) -> int:
        """How many bytes to skip to come to ``start``; raises for answers that do not hold the bytes."""
        if incoming.status not in (200, 206):
            raise self._error(incoming)
        encoding = incoming.headers.get("content-encoding", "")
        if encoding.lower() not in ("", "identity"):
            raise Unsupported(
                f"GET {self._name}: something on the way compresses answers ({encoding}) though told not to. "
                "Switch compression off for this folder",
                key=self._name,
            )
        if incoming.status == 200:  # the whole object, be it because the server knows no ranges
            length = incoming.headers.get("content-length", "")
            self._settle(int(length) if _LENGTH.fullmatch(length) else None, start)
            return start
        told = _CONTENT_RANGE.match(incoming.headers.get("content-range", ""))
        if told is None or int(told.group(1)) != start:
            shown = incoming.headers.get("content-range", "nothing")
            raise ShortRead(f"GET {self._name}: asked from byte {start} on, the server sends {shown}", key=self._name)
        if told.group(3) != "*":
            self._settle(int(told.group(3)), start)
        elif self._length is None:
            self._length = int(told.group(2)) + 1 - self._offset
            self._bound(self._length)
        return 0

    def _understand_end(self, incoming: Incoming) -> None:
        """Status 416: the range lies behind the end. That is fine where just the rest, and no more, was wanted."""
        told = _UNSATISFIED.match(incoming.headers.get("content-range", ""))
        size = int(told.group(1)) if told else self._stored_size()
        self._settle(size, self._offset + self._got)
        if not self._is_complete:
            raise ShortRead(f"GET {self._name}: the server refuses a range that lies within the object", key=self._name)

    def _settle(self, size: int | None, start: int) -> None:
        """Now that the object's size is known, see whether it holds the range at all."""
        if size is None:
            return
        if self._length is None and size >= start:
            self._length = size - self._offset
            self._bound(self._length)
        elif self._length is None or self._offset + self._length > size:
            raise ShortRead(
                f"{self._name} has {size} bytes, and bytes behind its end were asked for",
                key=self._name,
                transient=False,
            )

    def _error(self, incoming: Incoming) -> StorageError:
        body = bytearray()
        for chunk in incoming.chunks:
            body += chunk
            if len(body) >= LARGEST_ERROR:
                break
        return self._client.error(Reply("GET", incoming.status, incoming.headers, bytes(body)), name=self._name)


def _tells_no_end(incoming: Incoming) -> bool:
    """True when a cut answer looks like a whole one: it ends where the connection ends."""
    return incoming.status == 200 and not {"content-length", "transfer-encoding"} & set(incoming.headers)
