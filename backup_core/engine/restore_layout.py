"""Where the paths of a snapshot land below a target, and how patterns are read against them. Pure.

A snapshot's tree has one level per component of each source's absolute path. Nobody wants ``TARGET/home/u/docs``
when ``TARGET/docs`` says as much, so every source lands under its own last name, with as many leading components
as it takes to tell the sources apart:

    /home/u/docs                      -> TARGET/docs
    /srv/a/docs and /srv/b/docs         -> TARGET/a/docs and TARGET/b/docs
    /srv/notes.txt (a single file)      -> TARGET/notes.txt
    / (everything)                      -> TARGET itself
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

Components = tuple[bytes, ...]
"""The names of a path from the top, without separators; ``()`` is the top itself."""

_DRIVE = re.compile(r"^([A-Za-z]):[\\/]")
_LONE_BYTES = re.compile("[\udc80-\udcff]")
_MAGIC = re.compile(r"([\\*?\[\]!])")


class Landing(NamedTuple):
    """One source of a snapshot and its place below the target."""

    source: Components
    """Where it stands in the snapshot's tree."""
    place: Components
    """Where it goes below the target; ``()`` when its content goes straight into the target."""

    @property
    def path(self) -> bytes:
        """The place as one path, by which patterns know this source; ``b""`` for the target itself."""
        return b"/".join(self.place)


def printable(path: bytes) -> str:
    """A path as people and reports can show it: bytes that are not text, and control characters, are escaped."""
    text = path.decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def lossy(name: bytes) -> str:
    """A name as it looks after a journey through JSON: each byte that is not UTF-8 became U+FFFD."""
    return _LONE_BYTES.sub("\ufffd", name.decode("utf-8", "surrogateescape"))


def split_source(path: str) -> tuple[str, ...]:
    """The components under which a source's path stands in a snapshot's tree; a drive letter loses its colon."""
    drive = _DRIVE.match(path)
    if drive:
        path = drive[1] + "/" + path[drive.end() :].replace("\\", "/")
    return tuple(part for part in path.split("/") if part not in ("", "."))


def outermost(sources: Iterable[Components]) -> list[Components]:
    """The sources without those that lie inside another one (or are named twice), in their order."""
    given = list(dict.fromkeys(sources))
    known = set(given)
    return [s for s in given if not any(s[:n] in known for n in range(len(s)))]


def lay_out(sources: Iterable[Components]) -> tuple[Landing, ...]:
    """A place for every source, none of them equal to or inside another.

    Sources that collide each keep one more leading component, again and again; since no source lies inside
    another, that ends at the latest with their whole paths.
    """
    outer = outermost(sources)
    kept = [min(1, len(source)) for source in outer]
    while True:
        places = [source[len(source) - n :] for source, n in zip(outer, kept, strict=True)]
        grown = False
        for i in _colliding(places):
            if kept[i] < len(outer[i]):
                kept[i] += 1
                grown = True
        if not grown:
            return tuple(Landing(source, place) for source, place in zip(outer, places, strict=True))


def lay_in_place(landings: Sequence[Landing]) -> tuple[Components, tuple[Landing, ...]]:
    """The directory above all sources, and the sources' places below it: where they were when they were backed up."""
    above = [landing.source[:-1] for landing in landings]
    shared = 0
    while above and all(len(a) > shared and a[shared] == above[0][shared] for a in above):
        shared += 1
    base = above[0][:shared] if above else ()
    return base, tuple(Landing(landing.source, landing.source[shared:]) for landing in landings)


def _colliding(places: Sequence[Components]) -> set[int]:
    holders: dict[Components, list[int]] = {}
    for i, place in enumerate(places):
        holders.setdefault(place, []).append(i)
    found: set[int] = set()
    for i, place in enumerate(places):
        for n in range(len(place) + 1):
            others = [j for j in holders.get(place[:n], ()) if j != i]
            if others:
                found.update(others, (i,))
    return found


def original_path(shown: str, landings: Iterable[Landing]) -> str:
    """The absolute path that an entry had when it was backed up, from its printable path below the target."""
    for landing in landings:
        place = printable(b"/".join(landing.place))
        if not place or shown == place or shown.startswith(place + "/"):
            above = landing.source[: len(landing.source) - len(landing.place)]
            return "/" + printable(b"".join(name + b"/" for name in above)) + shown
    return "/" + shown


def expand_patterns(patterns: Iterable[str], landings: Sequence[Landing]) -> tuple[str, ...]:
    """Patterns as people write them, rewritten for paths below the target.

    ``*.pdf`` and other patterns without a slash match at any depth and stay. One with a slash is anchored below any
    source, and may also begin with the source's own name: for a source ``/home/u/projects``,
    ``projects/one/*`` and ``one/*`` mean the same files. One that begins with a slash may also be a whole
    source path: ``/home/u/projects/one``. A leading ``!`` keeps its meaning.
    """
    expanded: list[str] = []
    for pattern in patterns:
        negation, body = ("!", pattern[1:]) if pattern.startswith("!") else ("", pattern)
        if "/" not in body.rstrip("/"):
            expanded.append(pattern)
            continue
        readings = [reading for landing in landings for reading in _readings(body, landing)]
        expanded.extend(negation + reading for reading in dict.fromkeys(readings))
    return tuple(expanded)


def _readings(pattern: str, landing: Landing) -> list[str]:
    """What an anchored pattern may mean for one source, as patterns anchored at the target."""
    anchored = pattern.lstrip("/")
    place = [_literal(name) for name in landing.place]
    readings = ["/".join(["", *place, anchored])]
    if place:
        readings.append("/".join(["", *place[:-1], anchored]))
    if pattern.startswith("/") and landing.source:
        wanted = [part for part in anchored.split("/") if part]
        source = [name.decode("utf-8", "surrogateescape") for name in landing.source]
        shared = min(len(wanted), len(source))
        if wanted[:shared] == source[:shared]:
            rest = wanted[shared:]
            readings.append("/".join(["", *place, *rest]) + ("/" if rest and pattern.endswith("/") else ""))
    return readings


def _literal(name: bytes) -> str:
    """A pattern that matches just this name."""
    return _MAGIC.sub(r"\\\1", name.decode("utf-8", "surrogateescape"))
