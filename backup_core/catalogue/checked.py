"""Rows of what another catalogue sent, or another version of this program."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from backup_core.catalogue.row import AnyRow, column_types, in_utc


def checked(kind: type[AnyRow], values: Mapping[str, Any]) -> AnyRow:
    """The row that these JSON values tell, unknown ones passed over. Raises ``ValueError`` when they tell none."""
    hints = get_type_hints(kind)
    taken = {name: _taken(values[name], hints[name], name) for name in column_types(kind) if name in values}
    try:
        return kind(**taken)
    except TypeError as error:
        raise ValueError(f"a {kind.TABLE} is not whole: {error}") from error


def _taken(value: Any, hint: Any, name: str) -> Any:
    if isinstance(value, str) and datetime in (hint, *get_args(hint)):
        return in_utc(datetime.fromisoformat(value))
    if not _fits(value, hint):
        raise ValueError(f"{name} is no {hint}: {value!r}")
    return value


def _fits(value: Any, hint: Any) -> bool:
    if hint is Any:
        return True
    inside = get_args(hint)
    if isinstance(hint, UnionType):
        return any(_fits(value, one) for one in inside)
    if get_origin(hint) is list:
        return isinstance(value, list) and all(_fits(one, inside[0]) for one in value)
    if get_origin(hint) is dict:
        return isinstance(value, dict) and all(_fits(one, inside[1]) for one in value.values())
    if isinstance(value, bool) or value is None:
        return hint is (bool if value is not None else NoneType)
    return isinstance(value, (int, float) if hint is float else hint)
