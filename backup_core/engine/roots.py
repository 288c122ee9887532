"""The sources of a backup as a tree: one level per component of their absolute paths, as restic lays them out."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import field

from backup_core.deferred import dataclass
from backup_core.engine.live.produced import Produced
from backup_core.engine.restore_layout import printable
from backup_core.engine.source import join
from backup_core.errors import SourceError
from backup_core.results import Problem


@dataclass(frozen=True, slots=True)
class Root:
    """A source that exists."""

    path: bytes
    """Absolute, as the user named it: where it stands in the snapshot."""
    place: bytes
    """Where it is read: the same, unless it is a symbolic link that leads somewhere."""
    status: os.stat_result
    """Of what is read."""


@dataclass(slots=True)
class Waypoint:
    """A directory above sources."""

    path: bytes
    children: dict[bytes, Waypoint | Root | Produced] = field(default_factory=dict)

    @property
    def time_ns(self) -> int:
        """When the newest output below it was made."""
        return max((0 if isinstance(child, Root) else child.time_ns for child in self.children.values()), default=0)

    def ascending(self) -> Iterator[tuple[bytes, Waypoint | Root | Produced]]:
        """Names and children in the order of a tree."""
        return iter(sorted(self.children.items(), key=lambda child: child[0]))

    @property
    def made_up(self) -> bool:
        """True when only outputs of commands lie below: then no such directory need exist."""
        return all(
            isinstance(child, Produced) or (isinstance(child, Waypoint) and child.made_up)
            for child in self.children.values()
        )


@dataclass(slots=True)
class Sources:
    """All sources of a run."""

    top: Waypoint | Root
    """The file system's root: a source itself, or above all sources."""
    paths: tuple[str, ...]
    """Those that exist, for the snapshot."""
    problems: list[Problem]
    notes: list[str]
    produced: tuple[Produced, ...] = ()
    """The outputs of commands, wherever they lie."""
    beside: Waypoint = field(default_factory=lambda: Waypoint(b"/"))
    """Where these lie when the file system's root is a source itself."""


def absolute(source: str) -> bytes:
    """A source as an absolute path without detours. Links are kept: they are part of the name that was given."""
    path = os.path.abspath(os.path.expanduser(source))
    return os.fsencode("/" + path.lstrip("/") if path.startswith("//") else path)


def resolve_sources(sources: Sequence[str], produced: Sequence[Produced] = ()) -> Sources:
    """Find the sources. Raises ``SourceError`` when there is not a single one of them, or when the output of a command
    would take the place of a file.

    Sources inside other ones, or named twice, are part of those already. One that is a symbolic link to something
    is followed: who names it wants to have what it leads to.
    """
    problems: list[Problem] = []
    notes: list[str] = []
    roots: dict[bytes, Root] = {}
    for path in dict.fromkeys(map(absolute, sources)):
        try:
            root = _look_at(path)
        except OSError as error:
            problems.append(_missing(path, error))
            continue
        if root.place != path:
            notes.append(f"{printable(path)} is a symbolic link; what it leads to was backed up under its name")
        roots[path] = root
    if not roots and (sources or not produced):
        raise SourceError(
            "none of the sources can be found: " + "; ".join(p.message for p in problems)
            if problems
            else "there is nothing to back up: no source is named",
            path=problems[0].path if problems else "",
        )
    for path in _inner(roots):
        notes.append(f"{printable(path)} lies inside another source and is part of it")
        del roots[path]
    _refuse_collisions(roots, produced)
    outputs: list[tuple[list[bytes], Root | Produced]] = [(file.path[1:].split(b"/"), file) for file in produced]
    whole = roots.get(b"/")
    return Sources(
        whole or _waypoint(b"/", [*((path[1:].split(b"/"), root) for path, root in roots.items()), *outputs]),
        tuple(os.fsdecode(path) for path in (*roots, *(file.path for file in produced))),
        problems,
        notes,
        tuple(produced),
        _waypoint(b"/", outputs),
    )


def _refuse_collisions(roots: dict[bytes, Root], produced: Sequence[Produced]) -> None:
    """Raise ``SourceError`` when an output lies inside a source or another output, or the other way round.

    Beside all else in the file system's root there is room for outputs, unless the name is taken.
    """
    every = [*roots, *(file.path for file in produced)]
    taken = {*every} - {b"/"}
    for path in every:
        if every.count(path) > 1:
            raise SourceError(f"two things are to be stored as {printable(path)}: give the command another name")
    for path in taken:
        for above in _above(path):
            if above in taken and not (above in roots and path in roots):
                raise SourceError(
                    f"{printable(path)} lies inside {printable(above)}, and one of them is the output of a command: "
                    "give the command another name",
                    path=printable(path),
                )
    for file in produced if b"/" in roots else ():
        first = file.path.split(b"/", 2)[1]
        if os.path.lexists(b"/" + first):
            raise SourceError(
                f"the command for {file.source.name!r} would be stored where /{printable(first)} is: give it another "
                "name",
                path=file.source.name,
            )


def _look_at(path: bytes) -> Root:
    status = os.lstat(path)
    if not stat.S_ISLNK(status.st_mode):
        return Root(path, path, status)
    place = os.path.realpath(path)
    try:
        return Root(path, place, os.stat(place))
    except OSError:
        return Root(path, path, status)  # a link to nowhere is kept as what it is


def _missing(path: bytes, error: OSError) -> Problem:
    shown = printable(path)
    return Problem(
        "missing-source",
        f"the source {shown} cannot be found ({error.strerror}); check its name, or whether its disk is connected",
        path=shown,
    )


def _inner(roots: dict[bytes, Root]) -> list[bytes]:
    """Paths below directories that are sources themselves."""
    directories = {path for path, root in roots.items() if stat.S_ISDIR(root.status.st_mode)}
    return [path for path in roots if any(above in directories for above in _above(path))]


def _above(path: bytes) -> Iterator[bytes]:
    while path != b"/":
        path = os.path.dirname(path)
        yield path


def _waypoint(path: bytes, below: Sequence[tuple[list[bytes], Root | Produced]]) -> Waypoint:
    """The directory at ``path`` with the roots below it, given with the components of their paths from there."""
    point = Waypoint(path)
    deeper: dict[bytes, list[tuple[list[bytes], Root | Produced]]] = {}
    for (name, *rest), root in below:
        if rest:
            deeper.setdefault(name, []).append((rest, root))
        else:
            point.children[name] = root
    for name, inner in deeper.items():
        point.children[name] = _waypoint(join(path, name), inner)
    return point
