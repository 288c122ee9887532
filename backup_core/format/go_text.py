"""Text as Go programs write it into JSON: names of files go through ``strconv.Quote`` and then ``encoding/json``,
everything else through ``encoding/json`` alone.

A tree's id is the hash of its text, so two programs share directories only when they write every character alike.
Rules: documentation of Go's ``strconv`` and ``encoding/json`` packages (Go 1.22 and later, "HTML-safe" output), and
what restic 0.18 was seen to write.
"""

from __future__ import annotations

import re

from backup_core.errors import Corrupt
from backup_core.format.go_printable import is_printable

_MAX_CACHED = 1 << 16

_QUOTED = {0x07: "\\a", 0x08: "\\b", 0x09: "\\t", 0x0A: "\\n", 0x0B: "\\v", 0x0C: "\\f", 0x0D: "\\r"}
_QUOTED |= {0x22: '\\"', 0x5C: "\\\\"}
_UNQUOTED = {text[1].encode(): bytes([code]) for code, text in _QUOTED.items()}

_ESCAPED = {0x08: "\\b", 0x09: "\\t", 0x0A: "\\n", 0x0C: "\\f", 0x0D: "\\r", 0x22: '\\"', 0x5C: "\\\\"}
_ESCAPED |= {code: f"\\u{code:04x}" for code in (*range(0x20), *b"<>&", 0x2028, 0x2029) if code not in _ESCAPED}

# Decoding with "surrogateescape" turns each byte that is not UTF-8 into one of these, as Go handles them one by one.
_BAD_BYTES = range(0xDC80, 0xDD00)

_is_plain = re.compile(rb"[ !#-%'-;=?-\[\]-~]*").fullmatch
_escape = re.compile(
    rb'\\(?:([abfnrtv\\"])|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2}))|[\\"\n]'
)


def _quoted(code: int) -> str:
    if code in _QUOTED:
        return _QUOTED[code]
    if code in _BAD_BYTES:
        return f"\\x{code - 0xDC00:02x}"
    if is_printable(code):
        return chr(code)
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _escaped(code: int) -> str:
    return "\\ufffd" if 0xD800 <= code < 0xE000 else _ESCAPED.get(code) or chr(code)


class _EscapedTable(dict[int, str]):
    """For ``str.translate``: what each character becomes in a JSON string. Filled as characters are met."""

    def __missing__(self, code: int) -> str:
        text = self.text_of(code)
        if len(self) < _MAX_CACHED:
            self[code] = text
        return text

    def text_of(self, code: int) -> str:
        return _escaped(code)


class _QuotedTable(_EscapedTable):
    """The same for a name, which is quoted first."""

    def text_of(self, code: int) -> str:
        return "".join(_escaped(ord(character)) for character in _quoted(code))


_escaped_table = _EscapedTable()
_quoted_table = _QuotedTable()


def json_name(name: bytes) -> str:
    """The JSON string literal, with its quotation marks, that stands for a file name of any bytes."""
    if _is_plain(name):
        return f'"{name.decode("ascii")}"'
    return f'"{name.decode("utf-8", "surrogateescape").translate(_quoted_table)}"'


def json_bytes(text: bytes) -> str:
    """The JSON string literal for text given as bytes; each byte that is not UTF-8 is lost as ``\\ufffd``."""
    if _is_plain(text):
        return f'"{text.decode("ascii")}"'
    return f'"{text.decode("utf-8", "surrogateescape").translate(_escaped_table)}"'


def json_text(text: str) -> str:
    """The JSON string literal for text; lone surrogates become ``\\ufffd``."""
    return f'"{text.translate(_escaped_table)}"'


def quote(name: bytes) -> str:
    """``strconv.Quote`` without the quotation marks around: printable text that keeps every byte."""
    return "".join(map(_quoted, map(ord, name.decode("utf-8", "surrogateescape"))))


def unquote(text: str) -> bytes:
    """The bytes that ``quote`` was given. Raises ``Corrupt`` for text it cannot have written."""
    try:
        raw = text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise Corrupt(f"a name is not valid text: {text!r:.200}", kind="tree") from error
    if _is_plain(raw):
        return raw
    return _escape.sub(_unescape, raw)


def _unescape(match: re.Match[bytes]) -> bytes:
    letter, two, four, eight, octal = match.groups()
    if letter:
        return _UNQUOTED[letter]
    if two:
        return bytes([int(two, 16)])
    if octal:
        return bytes([int(octal, 8)])
    try:
        return chr(int(four or eight, 16)).encode("utf-8")
    except (TypeError, ValueError, OverflowError) as error:
        raise Corrupt(f"a name is not quoted by Go's rules: {match.string!r:.200}", kind="tree") from error
