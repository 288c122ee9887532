"""Disaster-recovery plans as a TOML file.

[plans."shop"]
target_base_path = "/srv/recovery"
rto = "4h"
rpo = "1d"

[[plans."shop".steps]]
name = "database"
configuration = "database dumps"

[[plans."shop".steps.checks]]
kind = "sqlite"
path = "dumps/shop.db"

[[plans."shop".steps]]
name = "uploads"
configuration = "uploads"
depends_on = ["database"]
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from backup_core.config.durations import duration_text
from backup_core.config.files import toml_string, toml_value
from backup_core.config.recovery_plans import RecoveryPlan
from backup_core.errors import ConfigError

_LARGEST_FILE = 4 * 1024 * 1024
_DURATIONS = ("rto", "rpo", "timeout", "patience")
_ALWAYS_SHOWN = ("kind", "name")


def load_plans(path: Path) -> list[RecoveryPlan]:
    """Read a TOML file; ``ConfigError`` lists all that is wrong in it."""
    try:
        content = path.read_bytes()
        if len(content) > _LARGEST_FILE:
            raise ConfigError(f"{path} is larger than 4 MiB and no file of plans")
        return parse_plans(content.decode("utf-8"), source=str(path))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text") from error


def parse_plans(text: str, *, source: str = "text") -> list[RecoveryPlan]:
    """The plans of a TOML text; ``source`` names it in messages."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{source} is not valid TOML: {error}") from error
    problems = [f"{key}: there is no such section" for key in document if key != "plans"]
    section = document.get("plans", {})
    if not isinstance(section, dict) or not section:
        problems.append('plans: write one table per plan, such as [plans."shop"]')
        section = {}
    plans = []
    for name, fields in section.items():
        if not isinstance(fields, dict) or "name" in fields:
            problems.append(f"plans.{name}: must be a table whose own name is the plan's name")
            continue
        try:
            plans.append(RecoveryPlan.model_validate({"name": name, **fields}))
        except ConfigError as error:
            problems += [f"plans.{name}.{problem}" for problem in error.problems or (str(error),)]
    if problems:
        raise ConfigError(f"{source} is not valid", problems=problems)
    return plans


def dump_plans(plans: Iterable[RecoveryPlan]) -> str:
    """The TOML text that ``parse_plans`` reads back. Fields that have their default are left out."""
    return "\n".join(
        "\n".join(_table(f"plans.{toml_string(plan.name)}", plan, without=("name",))) + "\n" for plan in plans
    )


def _table(header: str, model: BaseModel, *, without: tuple[str, ...] = (), of_many: bool = False) -> Iterator[str]:
    yield f"[[{header}]]" if of_many else f"[{header}]"
    below: list[tuple[str, BaseModel]] = []
    for key, value in _fields(model).items():
        if key in without:
            continue
        if isinstance(value, list) and value and isinstance(value[0], BaseModel):
            below += [(key, item) for item in value]
        elif key in _DURATIONS:
            yield f"{key} = {toml_string(duration_text(value))}"
        else:
            yield f"{key} = {toml_value(value)}"
    for key, item in below:
        yield ""
        yield from _table(f"{header}.{key}", item, of_many=True)


def _fields(model: BaseModel) -> Mapping[str, Any]:
    shown = {}
    for key, field in type(model).model_fields.items():
        value = getattr(model, key)
        default = None if field.is_required() else field.get_default(call_default_factory=True)
        if key in _ALWAYS_SHOWN or (value is not None and value != default):
            shown[key] = value
    return shown
