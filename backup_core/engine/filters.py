"""Which files a backup, a restore or a search speaks of: include and exclude patterns.

The language (also in ``docs``):

* A pattern without a slash names a file or directory at any depth: ``*.tmp``, ``node_modules``.
* A pattern with a slash at its start or in its middle is anchored at the root, that is at each source directory:
  ``/build``, ``projects/project1/*``. It may also be written with the source's own absolute path in front.
* ``**`` as a component spans directories: ``**/cache/**``, ``src/**/test``.
* A trailing slash matches directories only; a leading ``!`` takes back what an earlier pattern of the same list said.
  The last pattern of a list that matches decides.
* What lies below an excluded directory is excluded, whatever else is said (the directory is never opened).
* With include patterns, only files they match are kept, and everything below directories they match. Other directories
  are walked where something below them may match; those in which nothing was kept are left out of the backup.
* Matching is by characters; bytes of a name that are not UTF-8 count as one character each.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

from backup_core.engine.globs import Glob, GlobError, parse_glob
from backup_core.errors import ConfigError


class Verdict(NamedTuple):
    """What the patterns say of one path."""

    keep: bool
    """Files: belongs to the selection. Directories: is to be walked."""
    inside: bool
    """Directories: what lies below is selected unless a pattern says otherwise."""


class _Rule:
    """Neighbouring patterns of one list that all say the same, as few regular expressions as possible."""

    def __init__(self, globs: Sequence[Glob], flags: re.RegexFlag) -> None:
        self.says = not globs[0].negated
        self._names = _alternatives([g for g in globs if not g.whole_path and not g.directories_only], flags)
        self._paths = _alternatives([g for g in globs if g.whole_path and not g.directories_only], flags)
        self._directory_names = _alternatives([g for g in globs if not g.whole_path], flags)
        self._directory_paths = _alternatives([g for g in globs if g.whole_path], flags)

    def matches(self, path: str, name: str, *, is_directory: bool) -> bool:
        names = self._directory_names if is_directory else self._names
        if names is not None and names.fullmatch(name):
            return True
        paths = self._directory_paths if is_directory else self._paths
        return paths is not None and paths.fullmatch(path) is not None


def _alternatives(globs: Sequence[Glob], flags: re.RegexFlag) -> re.Pattern[str] | None:
    return _any_of([glob.regex for glob in globs], flags) if globs else None


def _any_of(expressions: Sequence[str], flags: re.RegexFlag) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{expression})" for expression in expressions), flags)


class PatternList:
    """An ordered list of patterns; the last one that matches decides."""

    def __init__(self, patterns: Sequence[str], *, case_insensitive: bool = False) -> None:
        """``ConfigError`` names every faulty pattern."""
        flags = re.DOTALL | (re.IGNORECASE if case_insensitive else re.RegexFlag(0))
        globs = _parse_all(patterns)
        self._rules: list[_Rule] = []
        start = 0
        for end in range(1, len(globs) + 1):
            if end == len(globs) or globs[end].negated != globs[start].negated:
                self._rules.append(_Rule(globs[start:end], flags))
                start = end
        self._rules.reverse()
        self._globs, self._flags = globs, flags

    def decide(self, path: str, *, is_directory: bool) -> bool | None:
        """True or False as the last matching pattern says of this very path, None when none matches it."""
        name = path[path.rfind("/") + 1 :]
        for rule in self._rules:
            if rule.matches(path, name, is_directory=is_directory):
                return rule.says
        return None

    @cached_property
    def _ways(self) -> re.Pattern[str] | None:
        # Made when asked for, since nobody asks this of exclude patterns.
        ways = [glob.way for glob in self._globs if not glob.negated]
        known = [way for way in ways if way is not None]
        if known != ways:
            return None
        return _any_of(known or ["(?!)"], self._flags)

    def leads_on(self, path: str) -> bool:
        """Whether a pattern may match something below this directory."""
        return self._ways is None or self._ways.fullmatch(path) is not None


def _parse_all(patterns: Sequence[str]) -> list[Glob]:
    globs: list[Glob] = []
    problems: list[str] = []
    for pattern in patterns:
        try:
            globs.append(parse_glob(pattern))
        except GlobError as error:
            problems.append(f"pattern {pattern!r}: {error}")
    if problems:
        raise ConfigError("some patterns cannot be used", problems=problems)
    return globs


class Patterns:
    """An include list and an exclude list together."""

    def __init__(
        self, include: Sequence[str] = (), exclude: Sequence[str] = (), *, case_insensitive: bool = False
    ) -> None:
        """``ConfigError`` names every faulty pattern."""
        self._texts = (tuple(include), tuple(exclude))
        self._case_insensitive = case_insensitive
        self._include = PatternList(include, case_insensitive=case_insensitive) if include else None
        self._exclude = PatternList(exclude, case_insensitive=case_insensitive) if exclude else None

    @property
    def selects_files(self) -> bool:
        """True when there are include patterns, so that directories without a kept file count for nothing."""
        return self._include is not None

    @property
    def select_everything(self) -> bool:
        """True when there are no patterns at all."""
        return self._include is None and self._exclude is None

    @property
    def at_root(self) -> Verdict:
        """What holds for the root itself: always kept, and all below it selected unless includes were given."""
        return Verdict(True, self._include is None)

    def below(self, root: bytes) -> Patterns:
        """The same patterns for the source ``root``: absolute ones that begin with its path become relative to it."""
        prefix = root.decode("utf-8", "surrogateescape").rstrip("/") + "/"
        include, exclude = ([_without_prefix(text, prefix) for text in texts] for texts in self._texts)
        if (tuple(include), tuple(exclude)) == self._texts:
            return self
        return Patterns(include, exclude, case_insensitive=self._case_insensitive)

    def judge(self, path: bytes, *, is_directory: bool, inside: bool) -> Verdict:
        """What the patterns say of ``path`` (relative to its root), all of whose parents were kept.

        ``inside`` is the ``inside`` of the parent's verdict.
        """
        if self._exclude is None and self._include is None:
            return Verdict(True, True)
        text = path.decode("utf-8", "surrogateescape")
        if self._exclude is not None and self._exclude.decide(text, is_directory=is_directory):
            return Verdict(False, False)
        if self._include is not None:
            decision = self._include.decide(text, is_directory=is_directory)
            inside = inside if decision is None else decision
            if is_directory and not inside:
                return Verdict(self._include.leads_on(text), False)
        return Verdict(is_directory or inside, inside)

    def allows(self, path: bytes, is_dir: bool) -> bool:
        """True when ``path`` (relative to its root) is selected, its parents' fate included.

        For many paths of one tree, walk it with ``judge`` instead: each directory is then judged once.
        """
        verdict = self.at_root
        if not path:
            return verdict.keep
        slash = path.find(b"/")
        while slash >= 0 and verdict.keep:
            verdict = self.judge(path[:slash], is_directory=True, inside=verdict.inside)
            slash = path.find(b"/", slash + 1)
        return verdict.keep and self.judge(path, is_directory=is_dir, inside=verdict.inside).keep


def _without_prefix(pattern: str, prefix: str) -> str:
    mark = "!" if pattern.startswith("!") else ""
    body = pattern[len(mark) :]
    rest = body.removeprefix(prefix)
    return f"{mark}/{rest}" if prefix != "/" and rest and rest != body else pattern
