"""What clients and configurations share: they are checked when they are made, and say all that is wrong at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, ModelWrapValidatorHandler, ValidationError, model_validator
from pydantic_core import ErrorDetails

from backup_core.config import rules
from backup_core.config.plugins import settle_plugins
from backup_core.config.secrets import parse_secret
from backup_core.config.sizes import parse_size
from backup_core.errors import ConfigError
from backup_core.types import Secret

settle_plugins()

_UNION_BRANCHES = ("str", "is-instance[Secret]")


def _secret_or_none(value: object) -> object:
    if isinstance(value, str):
        return parse_secret(value) if value else None
    return value


def checked(rule: Callable[[str], str]) -> BeforeValidator:
    """A rule for text as a pydantic validator; other types are left to pydantic to refuse."""
    return BeforeValidator(lambda value: rule(value) if isinstance(value, str) else value)


SecretSource = Annotated[str | Secret | None, BeforeValidator(_secret_or_none)]
"""A reference (``str``) or a literal (``Secret``); text that is no reference becomes a literal."""

Size = Annotated[int, BeforeValidator(lambda v: parse_size(v) if isinstance(v, str) else v)]
"""Bytes, or text such as ``500M``."""

Name = Annotated[str, checked(rules.name)]


class Checked(BaseModel):
    """What both models share: all problems at once, as ``ConfigError``; nothing secret in them."""

    model_config = ConfigDict(
        extra="forbid",
        arbitrary_types_allowed=True,
        validate_assignment=True,
        hide_input_in_errors=True,
        str_strip_whitespace=False,
    )

    @model_validator(mode="wrap")
    @classmethod
    def _all_problems_at_once(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            made = handler(data)
        except ValidationError as error:
            problems = list(dict.fromkeys(_problem(e["loc"], e["msg"], e["type"]) for e in _errors(error)))
        else:
            problems = made._contradictions()
            if not problems:
                return made
        named = data.get("name") if isinstance(data, dict) else None
        subject = f"{cls._noun()} {named!r}" if isinstance(named, str) else cls._noun()
        raise ConfigError(f"{subject} is not valid", problems=problems)

    @classmethod
    def _noun(cls) -> str:
        return "this record"

    def _contradictions(self) -> list[str]:
        """What is wrong with fields that are right one by one."""
        return []


def _errors(error: ValidationError) -> list[ErrorDetails]:
    return error.errors(include_input=False, include_url=False, include_context=False)


def _problem(location: tuple[int | str, ...], message: str, kind: str) -> str:
    where = ".".join(str(part) for part in location if part not in _UNION_BRANCHES)
    if kind == "extra_forbidden":
        message = "there is no such field"
    elif kind == "missing":
        message = "is required"
    elif location and location[-1] in _UNION_BRANCHES:
        message = "must be text"
    return f"{where}: {message.removeprefix('Value error, ')}" if where else message
