"""Reading the fields of JSON that came from a server: each with the right type and range, or ``Corrupt``."""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from typing import Any

import orjson

from backup_core.errors import Corrupt
from backup_core.format.ids import from_hex
from backup_core.types import Buffer

UINT32 = 1 << 32
UINT64 = 1 << 64


def parse(data: Buffer, kind: str) -> Any:
    """Any JSON value. ``kind`` names the file in the message of ``Corrupt``."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise Corrupt(f"the {kind} is not JSON: {error}", kind=kind) from error


def parse_object(data: Buffer, kind: str) -> dict[str, Any]:
    """A JSON object."""
    value = parse(data, kind)
    if not isinstance(value, dict):
        raise Corrupt(f"the {kind} is not a JSON object", kind=kind)
    return value


def object_of(record: Mapping[str, Any], field: str, kind: str) -> dict[str, Any]:
    """A field holding an object."""
    value = record.get(field)
    if not isinstance(value, dict):
        raise _wrong(field, kind, "an object")
    return value


def text_of(record: Mapping[str, Any], field: str, kind: str, *, required: bool = False) -> str:
    """A field holding text, "" when absent or null unless it is required."""
    value = record.get(field)
    if value is None and not required:
        return ""
    if not isinstance(value, str):
        raise _wrong(field, kind, "text")
    return value


def texts_of(record: Mapping[str, Any], field: str, kind: str) -> tuple[str, ...]:
    """A field holding a list of texts, empty when absent or null."""
    value = record.get(field)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise _wrong(field, kind, "a list of texts")
    return tuple(value)


def integer_of(record: Mapping[str, Any], field: str, kind: str, *, required: bool = False, limit: int = UINT64) -> int:
    """A field holding an integer from 0 to below ``limit``, 0 when absent or null unless it is required."""
    value = record.get(field)
    if value is None and not required:
        return 0
    if type(value) is not int or not 0 <= value < limit:
        raise _wrong(field, kind, f"an integer from 0 to {limit - 1}")
    return value


def flag_of(record: Mapping[str, Any], field: str, kind: str) -> bool:
    """A field holding true or false, false when absent."""
    value = record.get(field, False)
    if not isinstance(value, bool):
        raise _wrong(field, kind, "true or false")
    return value


def base64_of(record: Mapping[str, Any], field: str, kind: str) -> bytes:
    """A field holding bytes in base64."""
    value = record.get(field)
    if isinstance(value, str):
        try:
            return binascii.a2b_base64(value.encode("ascii"), strict_mode=True)
        except (binascii.Error, UnicodeEncodeError):
            pass
    raise _wrong(field, kind, "base64")


def id_of(record: Mapping[str, Any], field: str, kind: str) -> bytes | None:
    """A field holding an id, None when absent or null."""
    value = record.get(field)
    return None if value is None else from_hex(value)


def _wrong(field: str, kind: str, expected: str) -> Corrupt:
    return Corrupt(f'the {kind} has a field "{field}" that is not {expected}', kind=kind)
