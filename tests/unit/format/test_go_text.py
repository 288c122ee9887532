"""Text in Go's spelling; the expected strings were written by restic 0.18."""

from __future__ import annotations

import json

import pytest

from backup_core.errors import Corrupt
from backup_core.format.go_printable import is_printable
from backup_core.format.go_text import json_bytes, json_name, json_text, quote, unquote

NAMES = [
    (b"plain name.txt", r'"plain name.txt"'),
    (b"", r'""'),
    ("重要 Ünïcödé \U0001f409".encode(), '"重要 Ünïcödé \U0001f409"'),
    (b'a"b\\c', r'"a\\\"b\\\\c"'),
    (b"\a\b\f\n\r\t\v\x01\x7f", r'"\\a\\b\\f\\n\\r\\t\\v\\x01\\x7f"'),
    (b"<&>", r'"\u003c\u0026\u003e"'),
    (b"\xff\xe9\xe4\xb8", r'"\\xff\\xe9\\xe4\\xb8"'),
    (b"\xed\xa0\x80", r'"\\xed\\xa0\\x80"'),
    ("\u00a0\u00ad\u200d\ue000\u3000".encode(), r'"\\u00a0\\u00ad\\u200d\\ue000\\u3000"'),
    ("\u2028\u2029\ufeff\uffff".encode(), r'"\\u2028\\u2029\\ufeff\\uffff"'),
    ("\U000f0000\U0010ffff".encode(), r'"\\U000f0000\\U0010ffff"'),
    ("\ufffd".encode(), '"\ufffd"'),
    (b"\\x41", r'"\\\\x41"'),
]


@pytest.mark.parametrize(("name", "text"), NAMES)
def test_names(name: bytes, text: str) -> None:
    assert json_name(name) == text
    assert unquote(json.loads(text)) == name
    assert json.loads(text) == quote(name)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"plain", '"plain"'),
        (b'"\\/', r'"\"\\/"'),
        (b"\a\b\f\n\r\t\v\x7f", r'"\u0007\b\f\n\r\t\u000b' + '\x7f"'),
        (b"<&>", r'"\u003c\u0026\u003e"'),
        ("\u2028\u00a0\u2029".encode(), '"\\u2028\u00a0\\u2029"'),
        (b"a\xff\xe4\xb8z", r'"a\ufffd\ufffd\ufffdz"'),
        ("é\ufffd".encode(), '"é\ufffd"'),
    ],
)
def test_other_text(raw: bytes, text: str) -> None:
    assert json_bytes(raw) == text
    assert json_text(raw.decode("utf-8", "surrogateescape")) == text


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (r"\x41\101\u00e9\U0001f409", "AAé\U0001f409".encode()),
        (r"\377\000", b"\xff\x00"),
        (r"\xC3\xa9", "é".encode()),
    ],
)
def test_all_that_go_unquotes_is_unquoted(text: str, name: bytes) -> None:
    assert unquote(text) == name


@pytest.mark.parametrize(
    "text",
    ["\\", "a\\", '"', 'a"b', "\n", r"\z", r"\'", r"\x4", r"\u123", r"\U0011ffff", r"\ud800", r"\400", r"\8", "\ud800"],
)
def test_what_go_would_not_unquote_is_corrupt(text: str) -> None:
    with pytest.raises(Corrupt):
        unquote(text)


def test_printable_characters_follow_one_unicode_version() -> None:
    """Unicode 15.0, whatever the interpreter knows."""
    new_in_15 = "\u0cf3\U0001e4d0"
    assert all(is_printable(ord(character)) for character in new_in_15 + " ~é€重\U0001f409\u0301")
    new_in_16_and_later = "\u1c89\U0001fae9\u20c1"
    assert not any(is_printable(ord(character)) for character in new_in_16_and_later + "\x00\x1f\x7f\x80\x9f")
    # All characters of that version but those of format, the two line separators and all blanks but one.
    assert sum(map(is_printable, range(0x110000))) == 149_186 - 170 - 2 - 16
