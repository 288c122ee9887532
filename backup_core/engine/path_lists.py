"""Restoring what a list names, path by path: exact, and as fast for a million paths as for one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from backup_core.engine.restore_layout import Landing


def parse_path_list(data: bytes) -> tuple[bytes, ...]:
    """The paths of a list: ended by NUL when there is one in it (names may hold line feeds), else one a line.

    Nothing else is special: no comments, no quotes, spaces belong to the name. Empty lines are passed over, and a
    carriage return at the end of a line is one of Windows.
    """
    if b"\0" in data:
        return tuple(dict.fromkeys(path for path in data.split(b"\0") if path))
    lines = (line.removesuffix(b"\r") for line in data.split(b"\n"))
    return tuple(dict.fromkeys(line for line in lines if line))


class ListedPaths:
    """Paths as people name them - absolute as they were backed up, or below any source - for one layout.

    A directory that is named brings everything below it.
    """

    def __init__(self, paths: Iterable[bytes], landings: Sequence[Landing]) -> None:
        self._named: dict[bytes, set[bytes]] = {}
        self._above: set[bytes] = set()
        self._found: set[bytes] = set()
        self._given = tuple(paths)
        for path in self._given:
            for place in _places(path, landings):
                self._named.setdefault(place, set()).add(path)
                self._above.update(_parents(place))

    @property
    def everything(self) -> bool:
        """True when the target itself is named."""
        if b"" in self._named:
            self._found |= self._named[b""]
        return b"" in self._named

    def names(self, path: bytes) -> bool:
        """Whether ``path``, below the target, is named itself."""
        named = self._named.get(path)
        if named is None:
            return False
        self._found |= named
        return True

    def leads_to(self, path: bytes) -> bool:
        """Whether something below the directory ``path`` is named."""
        return path in self._above

    @property
    def missing(self) -> tuple[bytes, ...]:
        """What was given and has not been met, in its order. Right only after a whole walk."""
        return tuple(path for path in self._given if path not in self._found)


def _places(path: bytes, landings: Sequence[Landing]) -> Iterable[bytes]:
    """Where a named path may land below the target."""
    parts = tuple(part for part in path.split(b"/") if part not in (b"", b"."))
    for landing in landings:
        if path.startswith(b"/"):
            shared = min(len(parts), len(landing.source))
            if parts[:shared] == landing.source[:shared]:
                yield b"/".join((*landing.place, *parts[shared:]))
            continue
        yield b"/".join((*landing.place, *parts))
        if landing.place and parts[:1] == landing.place[-1:]:
            yield b"/".join((*landing.place[:-1], *parts))


def _parents(place: bytes) -> Iterable[bytes]:
    end = place.rfind(b"/")
    while end > 0:
        yield place[:end]
        end = place.rfind(b"/", 0, end)
    yield b""
