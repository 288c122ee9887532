"""Clients and configurations as a TOML file, for review, version control and moving to another machine.

    [clients."cloud"]
    url = "https://dav.example.org/dav/"
    username = "me"
    password = "env:CLOUD_PASSWORD"

    [configs."documents"]
    source_paths = ["/home/me/documents"]
    target_client_id = "cloud"
    target_path = "/backups"

Fields that have their default are left out. Secrets are never written: a reference is, and a literal becomes
``memory:``, which says at its first use that the secret must be given again.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from backup_core.config.models import BackupConfig, ClientConfig
from backup_core.errors import ConfigError

_LARGEST_FILE = 4 * 1024 * 1024
_Model = TypeVar("_Model", ClientConfig, BackupConfig)


def load_configurations(path: Path) -> tuple[list[ClientConfig], list[BackupConfig]]:
    """Read a TOML file; ``ConfigError`` lists all that is wrong in it."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    if len(content) > _LARGEST_FILE:
        raise ConfigError(f"{path} is larger than 4 MiB and no configuration file")
    try:
        return parse_configurations(content.decode("utf-8"), source=str(path))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text") from error


def parse_configurations(text: str, *, source: str = "text") -> tuple[list[ClientConfig], list[BackupConfig]]:
    """Clients and configurations of a TOML text; ``source`` names it in messages."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{source} is not valid TOML: {error}") from error
    problems = [f"{key}: there is no such section" for key in document if key not in ("clients", "configs")]
    clients = _section(document, "clients", lambda fields: ClientConfig(**fields), problems)
    configs = _section(document, "configs", lambda fields: BackupConfig(**fields), problems)
    if problems:
        raise ConfigError(f"{source} is not valid", problems=problems)
    return clients, configs


def _section(
    document: Mapping[str, Any], key: str, make: Callable[[dict[str, Any]], _Model], problems: list[str]
) -> list[_Model]:
    section = document.get(key, {})
    if not isinstance(section, dict):
        problems.append(f'{key}: write one table per name, such as [{key}."documents"]')
        return []
    made: list[_Model] = []
    for name, fields in section.items():
        if not isinstance(fields, dict):
            problems.append(f"{key}.{name}: must be a table")
            continue
        if "name" in fields:
            problems.append(f"{key}.{name}.name: the table's own name is the name")
            continue
        try:
            made.append(make({"name": name, **fields}))
        except ConfigError as error:
            problems.extend(f"{key}.{name}.{problem}" for problem in error.problems or (str(error),))
    return made


def dump_configurations(clients: Iterable[ClientConfig], configs: Iterable[BackupConfig]) -> str:
    """The TOML text that ``parse_configurations`` reads back; it holds no secret."""
    tables = [_table("clients", client) for client in clients]
    tables += [_table("configs", config) for config in configs]
    return "\n".join(tables)


def _table(section: str, model: ClientConfig | BackupConfig) -> str:
    lines = [f"[{section}.{toml_string(model.name)}]"]
    for key, value in model.record().items():
        field = type(model).model_fields[key]
        default = field.get_default(call_default_factory=True) if not field.is_required() else None
        plain = default.model_dump() if isinstance(default, BaseModel) else default
        if key != "name" and value is not None and value != plain:
            lines.append(f"{key} = {toml_value(value)}")
    return "\n".join(lines) + "\n"


def toml_value(value: object) -> str:
    """A plain value, or a list or table of them, as TOML writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        fields = (f"{key} = {toml_value(item)}" for key, item in value.items() if item is not None)
        return f"{{ {', '.join(fields)} }}"
    if isinstance(value, list):
        return f"[{', '.join(toml_value(item) for item in value)}]"
    if isinstance(value, datetime):
        return value.isoformat()
    return toml_string(value) if isinstance(value, str) else repr(value)


def toml_string(text: str) -> str:
    """Text as TOML writes it, in quotes. ``ConfigError`` for what TOML cannot hold."""
    if any("\ud800" <= c <= "\udfff" for c in text):
        raise ConfigError(f"{text!r} holds bytes that are not UTF-8, which a TOML file cannot hold")
    # A JSON string is a TOML basic string, but for DEL, which TOML wants escaped.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
