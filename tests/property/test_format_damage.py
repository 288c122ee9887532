"""Whatever comes from a server, a reader answers with a result or one of its refusals; nothing else escapes."""

from __future__ import annotations

import json
import struct
import tracemalloc
from contextlib import suppress
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backup_core.errors import Corrupt
from backup_core.format.go_text import unquote
from backup_core.format.go_time import parse_datetime, parse_time
from backup_core.format.ids import from_hex
from backup_core.format.pack import read_header
from backup_core.format.parity import MAGIC
from backup_core.testing.parsers import JSON_KINDS, PARSERS, REFUSALS, SEALER

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 70), 1 << 70) | st.floats() | st.text(max_size=70),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize("kind", PARSERS)
def test_the_examples_are_good(kind: str) -> None:
    read, data = PARSERS[kind]
    assert read(data)


@pytest.mark.parametrize("kind", PARSERS)
@given(data=st.binary(max_size=300))
@example(data=b"[" * 5000)
@example(data=b'{"a":' * 5000)
@example(data=b"\xff\xfe<")
@example(data=b"<?xml version='1.0' encoding='utf-7'?><multistatus xmlns='DAV:'/>")
@example(data=b"<?xml version='1.0' encoding='shift_jis'?><multistatus xmlns='DAV:'/>")
@example(data=b"\x28\xb5\x2f\xfd\xe0\xff\xff\xff\xff\xff\xff\xff\x7f\x00\x00")
def test_arbitrary_bytes(kind: str, data: bytes) -> None:
    with suppress(*REFUSALS):
        PARSERS[kind].read(data)


@pytest.mark.parametrize("kind", PARSERS)
@given(cut=st.integers(0, 2000), at=st.integers(0, 2000), put=st.binary(max_size=5), drop=st.integers(0, 5))
def test_changed_bytes(kind: str, cut: int, at: int, put: bytes, drop: int) -> None:
    read, good = PARSERS[kind]
    at %= len(good)
    with suppress(*REFUSALS):
        read((good[:at] + put + good[at + drop :])[: max(0, len(good) - cut % 50)])


@pytest.mark.parametrize("kind", JSON_KINDS)
@given(choice=st.integers(0, 200), value=json_values)
def test_json_with_another_value_somewhere(kind: str, choice: int, value: Any) -> None:
    read, good = PARSERS[kind]
    changed = json.loads(good)
    places = list(_places(changed))
    holder, key = places[choice % len(places)]
    holder[key] = value
    with suppress(*REFUSALS):
        read(json.dumps(changed).encode())


def _places(value: Any) -> Any:
    """Every (container, key) in a JSON value."""
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield value, key
            yield from _places(inner)


@given(st.text("-0123456789+_ ٣", max_size=30) | st.text(max_size=5))
def test_numbers_in_a_listing(text: str) -> None:
    read, good = PARSERS["multistatus"]
    with suppress(*REFUSALS):
        read(good.replace(b">12<", b">%b<" % text.encode("utf-8", "surrogatepass")))


@pytest.mark.parametrize("kind", ["frame", "unpacked", "parity header"])
def test_a_length_that_is_only_claimed_takes_no_memory(kind: str) -> None:
    frame = b"\x28\xb5\x2f\xfd\xe0" + (1 << 40).to_bytes(8, "little") + b"\x01\x00\x00"
    sealed = frame + sha256(frame).digest()
    data = {"unpacked": b"\x02" + frame, "parity header": MAGIC + struct.pack(">I", len(frame)) + sealed}
    tracemalloc.start()
    try:
        with pytest.raises(REFUSALS, match=r"claims|does not hold"):
            PARSERS[kind].read(data.get(kind, frame))
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@given(st.binary(max_size=60), st.integers(0, 1 << 33))
def test_headers_that_are_authentic_but_arbitrary(header: bytes, size: int) -> None:
    box = SEALER.seal(header)
    with suppress(Corrupt):
        read_header(box + struct.pack("<I", len(box)), size, SEALER)


@given(st.text(max_size=40) | st.from_regex(r"[0-9TZ:.+-]{0,40}"))
def test_arbitrary_text(text: str) -> None:
    for read in (unquote, parse_time, parse_datetime, from_hex):
        with suppress(Corrupt):
            read(text)


@given(st.from_regex(r'\\[abfnrtvxuU"\\0-9][0-9a-fA-F]{0,8}', fullmatch=True))
def test_arbitrary_escapes(text: str) -> None:
    with suppress(Corrupt):
        unquote(text)
