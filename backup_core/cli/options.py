"""Options as dataclasses: each field is one option, so that many options are one parameter of a command."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from backup_core.cli.logs import LogLevel
from backup_core.deferred import dataclass

_PANEL = "Common options"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The options that every command has."""

    json_output: Annotated[
        bool, typer.Option("--json", help="Print one JSON document on stdout.", rich_help_panel=_PANEL)
    ] = False
    home: Annotated[
        Path | None,
        typer.Option(
            "--home", metavar="DIR", help="Where all local data lies (default: $DAVAULT_HOME).", rich_help_panel=_PANEL
        ),
    ] = None
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.", rich_help_panel=_PANEL)] = False
    log_level: Annotated[
        LogLevel | None,
        typer.Option("--log-level", help="What to log on stderr (default: warning).", rich_help_panel=_PANEL),
    ] = None
    log_file: Annotated[
        Path | None,
        typer.Option("--log-file", metavar="F", help="Append a log to this file, too.", rich_help_panel=_PANEL),
    ] = None

    def over(self, general: Settings) -> Settings:
        """These settings, completed by those given before the command's name."""
        return Settings(
            json_output=self.json_output or general.json_output,
            home=self.home or general.home,
            quiet=self.quiet or general.quiet,
            log_level=self.log_level or general.log_level,
            log_file=self.log_file or general.log_file,
        )

    def words(self) -> list[str]:
        """The same for the command line of another program of this package."""
        level = None if self.log_level is None else self.log_level.value
        values = {"--home": self.home, "--log-level": level, "--log-file": self.log_file}
        given = [word for option, value in values.items() if value is not None for word in (option, str(value))]
        return [*given, "--json"] if self.json_output else given


def parameters_of(function: Callable[..., object]) -> list[inspect.Parameter]:
    """A function's parameters with their types as objects."""
    return list(inspect.signature(function, eval_str=True).parameters.values())


def spread(function: Callable[..., None], parameters: Iterable[inspect.Parameter]) -> Callable[..., None]:
    """``function`` for Typer, taking ``parameters`` with each dataclass among them replaced by its fields."""
    bundles: dict[str, type[Any]] = {}
    flat: list[inspect.Parameter] = []
    for parameter in parameters:
        if is_dataclass(parameter.annotation) and isinstance(parameter.annotation, type):
            bundles[parameter.name] = parameter.annotation
            flat += _fields_as_parameters(parameter.annotation)
        else:
            flat.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))

    def called(**arguments: Any) -> None:
        built = {name: kind(**{f.name: arguments.pop(f.name) for f in fields(kind)}) for name, kind in bundles.items()}
        function(**built, **arguments)

    # Typer reads names, types and defaults from the signature and the annotations.
    vars(called)["__signature__"] = inspect.Signature(flat)
    called.__annotations__ = {p.name: p.annotation for p in flat}
    called.__name__ = function.__name__
    return called


@cache
def _fields_as_parameters(kind: type[Any]) -> tuple[inspect.Parameter, ...]:
    # Every command has the common options; reading their types anew for each was a tenth of the program's start.
    types = get_type_hints(kind, include_extras=True)
    return tuple(
        inspect.Parameter(
            f.name,
            inspect.Parameter.KEYWORD_ONLY,
            annotation=types[f.name],
            default=inspect.Parameter.empty if f.default is MISSING else f.default,
        )
        for f in fields(kind)
    )
