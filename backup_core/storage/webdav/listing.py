"""Listing a folder completely, or saying why nobody can be sure.

Servers cut listings. The good ones say so with ``Link: <...>; rel="next"`` (RFC 8288), some of them with an address
that is percent-encoded once too often, or that leads in circles. Others just stop. Behind a reverse proxy the
addresses in an answer may begin with another path than the one that was asked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from urllib.parse import quote, unquote, urlsplit

from backup_core.deferred import dataclass
from backup_core.errors import Unsupported
from backup_core.storage.webdav.multistatus import MOST_ENTRIES, Entry
from backup_core.storage.webdav.profiles import SUSPICIOUS_PAGES, Profile
from backup_core.storage.webdav.urls import Place, Segments, is_relative, same, segments_of_href, split

MOST_PAGES = 10_000
_DEEPEST_ENCODING = 3

_LINK = re.compile(r"<([^>]*)>((?:[^,\"]|\"[^\"]*\")*)")
_REL = re.compile(r";\s*rel\s*=\s*(?:\"([^\"]*)\"|([^\s;]+))", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Page:
    """One answer to a listing."""

    entries: Sequence[Entry]
    headers: Mapping[str, str]


Ask = Callable[[str], Page | None]
"""Asks for the page with this query ("" for the first); None when the server says that there is no such folder."""


@dataclass(slots=True)
class Folder:
    """What is directly inside one folder."""

    objects: dict[str, int] = field(default_factory=dict)
    """Size in bytes by name (the last segment)."""
    modified: dict[str, str] = field(default_factory=dict)
    """When each was stored, as the server writes it, of those of which it says so."""
    moment: str = ""
    """The server's time when it answered, as it writes it."""
    folders: set[str] = field(default_factory=set)
    is_folder: bool = True
    """False when there is something, but no folder."""
    doubt: str = ""
    """Why the list may be incomplete, "" when it is proved complete."""

    def __contains__(self, name: str) -> bool:
        return name in self.objects or name in self.folders


def read_folder(ask: Ask, place: Place, segments: Segments, profile: Profile) -> Folder | None:
    """All pages of a folder put together; None when the server says that it does not exist."""
    entries: list[Entry] = []
    asked: set[str] = set()
    doubts: list[str] = []
    query, moment = "", ""
    while True:
        asked.add(query)
        page = ask(query)
        if page is None:
            if query:
                doubts.append("a further page of the listing was said not to exist")
                break
            return None
        entries += page.entries
        if len(entries) > MOST_ENTRIES:
            raise Unsupported(f"the server lists more than {MOST_ENTRIES} resources in one folder")
        moment = page.headers.get("date", "")
        link = next_link(page.headers)
        if not link:
            if query == "" and _looks_cut(len(page.entries), profile):
                doubts.append(f"the listing stops at {len(page.entries)} entries, where servers cut it, without a next")
            break
        query, doubt = _next_query(link, place, segments)
        if doubt or query in asked or len(asked) >= MOST_PAGES:
            doubts.append(doubt or "the pages of the listing lead in circles")
            break
    folder, doubt = gather(entries, segments)
    folder.moment = moment
    folder.doubt = "; ".join(filter(None, [*doubts, doubt]))
    return folder


def next_link(headers: Mapping[str, str]) -> str:
    """The address of the next page, "" when the answer names none."""
    for target, parameters in _LINK.findall(headers.get("link", "")):
        relation = _REL.search(parameters)
        if relation and "next" in (relation.group(1) or relation.group(2) or "").lower().split():
            return str(target)
    return ""


def gather(entries: Sequence[Entry], asked: Segments) -> tuple[Folder, str]:
    """The children among ``entries``, and a doubt when the answer is not clearly about the folder that was asked."""
    found = _with_prefix(entries, asked)
    if found is None:
        return Folder(), "the answer is about other addresses than the one that was asked"
    prefix, paths = found
    folder = Folder()
    doubt = "" if entries else "the answer is empty and does not even mention the folder itself"
    for path, entry in paths:
        if same(path, prefix):
            folder.is_folder = entry.is_collection
        elif same(path[:-1], prefix) and "/" not in path[-1]:
            doubt = _add(folder, path[-1], entry) or doubt
        elif not same(path[: len(prefix)], prefix):
            doubt = f"the answer mixes in an address from elsewhere: {entry.href}"
    return folder, doubt


def _add(folder: Folder, name: str, entry: Entry) -> str:
    if entry.status in (404, 410):
        return ""  # removed while the server was listing
    if entry.status >= 300:
        return f"the server cannot say what {name} is (status {entry.status})"
    if entry.is_collection:
        folder.folders.add(name)
    elif entry.size is None or entry.size < 0:
        return f"the server does not say how large {name} is"
    else:
        folder.objects[name] = entry.size
        if entry.modified:
            folder.modified[name] = entry.modified
    return ""


def _with_prefix(entries: Sequence[Entry], asked: Segments) -> tuple[Segments, list[tuple[Segments, Entry]]] | None:
    """The path that the server uses for the folder that was asked, with the decoded path of every entry."""
    paths = [(_absolute(entry.href, asked), entry) for entry in entries]
    for _ in range(_DEEPEST_ENCODING):
        if not paths or any(same(path, asked) or (path and same(path[:-1], asked)) for path, _ in paths):
            return asked, paths
        paths = [(tuple(unquote(s) for s in path), entry) for path, entry in paths]
    for prefix in sorted({candidate for path, _ in paths for candidate in (path, path[:-1])}, key=len):
        one_family = all(path == prefix or path[:-1] == prefix for path, _ in paths)
        if one_family and _may_stand_for(prefix, asked, paths):
            return prefix, paths
    return None


def _may_stand_for(prefix: Segments, asked: Segments, paths: Sequence[tuple[Segments, Entry]]) -> bool:
    """A reverse proxy exchanges the beginning of paths, so their last segments still agree."""
    if any(path == prefix and not entry.is_collection for path, entry in paths):
        return False
    return same(prefix[-1:], asked[-1:]) if asked and prefix else len(paths) > 1


def _absolute(href: str, asked: Segments) -> Segments:
    path = segments_of_href(href)
    return asked + path if is_relative(href) else path


def _looks_cut(count: int, profile: Profile) -> bool:
    """Whether ``count`` entries, with or without the folder itself, fill a page to the last place."""
    limits = {profile.page_size, *SUSPICIOUS_PAGES}
    return count in limits or count - 1 in limits


def _next_query(link: str, place: Place, segments: Segments) -> tuple[str, str]:
    """The query of the next page, or a doubt. Only the query is taken over: host and path stay those we know."""
    parts = urlsplit(link)
    if parts.hostname and parts.hostname.lower() != place.host.lower():
        return "", f"the next page of the listing lies on another machine ({parts.hostname})"
    path = split(parts.path) if parts.path else segments
    for _ in range(_DEEPEST_ENCODING):
        if same(path, segments):
            break
        path = tuple(unquote(segment) for segment in path)
    else:
        if not segments or not same(path[-1:], segments[-1:]):
            return "", f"the next page of the listing lies in another folder ({parts.path})"
    if not parts.query:
        return "", "the pages of the listing lead in circles"
    return quote(parts.query, safe="%&=+;:,/?@!$'()*~._-"), ""
