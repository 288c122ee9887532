"""Reading the XML of a 207 answer (RFC 4918, 13): safely, in one pass, and within bounds.

A document type declaration is refused, so no entity can be defined, expanded or fetched. Properties that come with
their own error status do not count. Nothing else of the document is kept.
"""

from __future__ import annotations

import re
from dataclasses import field
from xml.parsers import expat

from backup_core.deferred import dataclass
from backup_core.errors import ShortRead, Unsupported

LONGEST_TEXT = 64 * 1024
MOST_ENTRIES = 2_000_000

PROPERTIES = (
    b'<?xml version="1.0" encoding="utf-8"?>'
    b'<D:propfind xmlns:D="DAV:"><D:prop>'
    b"<D:resourcetype/><D:getcontentlength/><D:getlastmodified/></D:prop></D:propfind>"
)
"""Request body: only what a listing needs."""
QUOTA = (
    b'<?xml version="1.0" encoding="utf-8"?>'
    b'<D:propfind xmlns:D="DAV:"><D:prop><D:quota-available-bytes/><D:quota-used-bytes/></D:prop></D:propfind>'
)
"""Request body: RFC 4331."""

_STATUS_CODE = re.compile(r"^\s*HTTP/[\d.]+\s+(\d{3})")
_INTEGER = re.compile("-?[0-9]{1,20}")
_NUMBERS = {"getcontentlength", "quota-available-bytes", "quota-used-bytes"}


@dataclass(slots=True)
class Entry:
    """One ``response`` element: a resource and what is known of it."""

    href: str = ""
    status: int = 200
    """HTTP status of the resource as a whole."""
    is_collection: bool = False
    numbers: dict[str, int] = field(default_factory=dict)
    """Values of the numeric properties that the server gave, by name without namespace."""
    modified: str = ""
    """When it was stored, as the server writes it; "" when it does not say."""

    @property
    def size(self) -> int | None:
        """Bytes, None when the server does not say."""
        return self.numbers.get("getcontentlength")


class _Reader:
    """State of one pass. ``path`` holds the local names of the open DAV: elements ("" for foreign ones)."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self._path: list[str] = []
        self._text: list[str] = []
        self._length = 0
        self._entry = Entry()
        self._propstat = Entry()

    def start(self, name: str, _attributes: object) -> None:
        namespace, _, local = name.rpartition(" ")
        local = local if namespace == "DAV:" else ""
        if not self._path and local != "multistatus":
            raise Unsupported("the answer is XML, but no list of resources: this is no WebDAV folder")
        if local == "response":
            self._entry = Entry()
        elif local == "propstat":
            self._propstat = Entry()
        elif local == "collection" and self._path[-1] == "resourcetype":
            self._propstat.is_collection = True
        self._path.append(local)
        self._text, self._length = [], 0

    def text(self, data: str) -> None:
        self._length += len(data)
        if self._length > LONGEST_TEXT:
            raise Unsupported("the server's list of resources holds an absurdly long value")
        self._text.append(data)

    def end(self, _name: str) -> None:
        local = self._path.pop()
        parent = self._path[-1] if self._path else ""
        text = "".join(self._text).strip()
        if local == "href" and parent == "response":
            self._entry.href = text
        elif local == "status" and parent in ("response", "propstat"):
            hit = _STATUS_CODE.match(text)
            target = self._entry if parent == "response" else self._propstat
            target.status = int(hit.group(1)) if hit else target.status
        elif local in _NUMBERS and parent == "prop" and _INTEGER.fullmatch(text):
            self._propstat.numbers[local] = int(text)
        elif local == "getlastmodified" and parent == "prop":
            self._propstat.modified = text
        elif local == "propstat" and 200 <= self._propstat.status < 300:
            self._entry.is_collection |= self._propstat.is_collection
            self._entry.numbers.update(self._propstat.numbers)
            self._entry.modified = self._propstat.modified or self._entry.modified
        elif local == "response":
            self._keep()
        self._text, self._length = [], 0

    def _keep(self) -> None:
        if not self._entry.href:
            raise Unsupported("the server lists a resource without saying where it is")
        if len(self.entries) >= MOST_ENTRIES:
            raise Unsupported(f"the server lists more than {MOST_ENTRIES} resources at once")
        self.entries.append(self._entry)

    def refuse_doctype(self, *_: object) -> None:
        raise Unsupported("the server's XML declares a document type, which is refused because it can hide attacks")


def parse(body: bytes) -> list[Entry]:
    """The resources that ``body`` lists.

    Raises ``ShortRead`` for XML that is cut or broken, ``Unsupported`` for XML that is something else.
    """
    reader = _Reader()
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.StartDoctypeDeclHandler = reader.refuse_doctype
    try:
        parser.Parse(body.lstrip(), True)
    except expat.ExpatError as error:
        raise ShortRead(f"the server's list of resources is cut or broken: {error}") from error
    except (LookupError, ValueError) as error:
        raise Unsupported(f"the server's list of resources is in an encoding that is not supported: {error}") from error
    return reader.entries
