"""Translate one gitignore-style glob into a regular expression.

The language is that of git's ``gitignore(5)``: ``*`` and ``?`` stay inside one path component, ``**`` as a whole
component spans any number of them, ``[a-z]``, ``[!a-z]`` and ``[[:alpha:]]`` name sets, a backslash takes the next
character literally. Where git lets a faulty pattern silently match nothing, this refuses it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from backup_core.deferred import dataclass

_POSIX_CLASSES = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "blank": " \\t",
    "cntrl": "\\x00-\\x1f\\x7f",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": "!-/:-@\\[-`{-~",
    "space": " \\t-\\r",
    "upper": "A-Z",
    "xdigit": "0-9A-Fa-f",
}


class GlobError(ValueError):
    """A pattern that cannot mean anything; the message says why, without the pattern itself."""


@dataclass(frozen=True, slots=True)
class Glob:
    """One pattern, taken apart."""

    regex: str
    """For ``re.fullmatch`` with ``re.DOTALL``, against the last component or the whole relative path."""
    whole_path: bool
    """True when the pattern speaks of the path below the root, False when of the last component alone."""
    directories_only: bool
    negated: bool
    way: str | None
    """For ``re.fullmatch`` against the path of a directory: whether something below it may match. None when that may be
    anywhere."""


def parse_glob(pattern: str) -> Glob:
    """Take ``pattern`` apart; ``GlobError`` when it is empty, ends in a lone backslash or leaves a ``[`` open."""
    negated = pattern.startswith("!")
    body = pattern[1:] if negated else pattern
    if body.startswith("./"):
        body = body[1:]
    directories_only = body.endswith("/") and not body.endswith("\\/")
    if directories_only:
        body = body[:-1]
    whole_path = "/" in body
    body = body.removeprefix("/")
    if not body:
        raise GlobError("it names nothing")
    if "" in body.split("/"):
        raise GlobError("it has an empty component (two slashes side by side)")
    way = _translate_way(body.split("/")) if whole_path else None
    return Glob(_translate_path(body), whole_path, directories_only, negated, way)


def _translate_way(components: Sequence[str]) -> str | None:
    """The directories above what the components match: of ``a/b/c`` these are ``a(?:/b)?``."""
    ends = next((number for number, component in enumerate(components) if _spans(component)), None)
    if ends == 0:
        return None
    above = components[: len(components) - 1 if ends is None else ends]
    way = "" if ends is None else "(?:/.+)?"
    for number, component in reversed(list(enumerate(above))):
        way = _translate_component(component) + way
        way = f"(?:/{way})?" if number else way
    return way or "(?!)"


def _spans(component: str) -> bool:
    return len(component) > 1 and not component.strip("*")


def _translate_path(body: str) -> str:
    components = body.split("/")
    last = len(components) - 1
    parts: list[str] = []
    for number, component in enumerate(components):
        if _spans(component):
            # At the end it means "everything inside", elsewhere "any number of directories, none included".
            parts.append(".+" if number == last else "(?:.+/)?")
        else:
            parts.append(_translate_component(component) + ("" if number == last else "/"))
    return "".join(parts)


def _translate_component(component: str) -> str:
    parts: list[str] = []
    position = 0
    while position < len(component):
        character = component[position]
        position += 1
        if character == "*":
            if parts[-1:] != ["[^/]*"]:
                parts.append("[^/]*")
        elif character == "?":
            parts.append("[^/]")
        elif character == "[":
            expression, position = _translate_set(component, position)
            parts.append(expression)
        elif character == "\\":
            if position == len(component):
                raise GlobError("it ends in a lone backslash")
            parts.append(re.escape(component[position]))
            position += 1
        else:
            parts.append(re.escape(character))
    return "".join(parts)


def _translate_set(text: str, position: int) -> tuple[str, int]:
    """The regular expression of the set that begins after its ``[``, and where the text goes on behind it."""
    negated = text[position : position + 1] in ("!", "^")
    position += negated
    members: list[str] = []
    first = True
    while first or text[position : position + 1] != "]":
        first = False
        if text.startswith("[:", position):
            members_of_class, position = _posix_class(text, position)
            members.append(members_of_class)
            continue
        low, position = _set_character(text, position)
        if text[position : position + 1] == "-" and text[position + 1 : position + 2] not in ("", "]"):
            high, position = _set_character(text, position + 1)
            if low <= high:
                members.append(f"{re.escape(low)}-{re.escape(high)}")
        else:
            members.append(re.escape(low))
    body = "".join(members)
    if negated:
        return (f"[^/{body}]" if body else "[^/]"), position + 1
    return (f"(?!/)[{body}]" if body else "(?!)"), position + 1


def _posix_class(text: str, position: int) -> tuple[str, int]:
    end = text.find(":]", position)
    name = text[position + 2 : end] if end >= 0 else ""
    if name not in _POSIX_CLASSES:
        raise GlobError("it names an unknown character class")
    return _POSIX_CLASSES[name], end + 2


def _set_character(text: str, position: int) -> tuple[str, int]:
    if text[position : position + 1] == "\\":
        position += 1
    if position >= len(text):
        raise GlobError("it opens a [ and does not close it (write \\[ for the character itself)")
    return text[position], position + 1
