"""Commands that are built when they are asked for.

Reading the options of all commands takes a quarter of a second, and loading their modules takes more; a person who says
``davault list`` waits for one of them only. Help and completion, which need all, build all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from copy import copy
from functools import partial
from importlib import import_module
from typing import Any

import typer
from typer.core import DEFAULT_MARKUP_MODE, TyperGroup
from typer.main import get_command_from_info, get_group, get_install_completion_arguments
from typer.models import CommandInfo


class Commands(MutableMapping[str, Any]):
    """Commands by name, in the order of ``makers``, each made once."""

    def __init__(self, makers: Mapping[str, Callable[[], Any]]) -> None:
        self._makers = dict(makers)
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            self._made[name] = self._makers[name]()
        return self._made[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._made[name] = command
        self._makers.setdefault(name, lambda: command)

    def __delitem__(self, name: str) -> None:
        del self._makers[name]
        self._made.pop(name, None)

    def __contains__(self, name: object) -> bool:
        return name in self._makers

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)


def program(app: typer.Typer, commands: Mapping[str, str], groups: Mapping[str, str]) -> TyperGroup:
    """The entry of a program: ``app`` gives its help and first options; its commands lie in the modules named.

    Of ``commands``, each value is a module whose ``register(app)`` adds the command to an application; of ``groups``,
    it is ``MODULE:ATTRIBUTE``.
    """
    entry = get_group(app)
    entry.params.extend(get_install_completion_arguments())
    makers: dict[str, Callable[[], Any]] = {name: _of_module(name, module) for name, module in commands.items()}
    entry.commands = Commands(makers | {name: _of_group(place) for name, place in groups.items()})
    return entry


def _of_module(name: str, module: str) -> Callable[[], Any]:
    def make() -> Any:
        registered = typer.Typer()
        import_module(module).register(registered)
        return _command(next(info for info in registered.registered_commands if info.name == name))

    return make


def _of_group(place: str) -> Callable[[], Any]:
    def make() -> Any:
        module, _, attribute = place.partition(":")
        group: typer.Typer = getattr(import_module(module), attribute)
        bare = copy(group)
        bare.registered_commands = []
        built = get_group(bare)
        built.commands = Commands({str(info.name): partial(_command, info) for info in group.registered_commands})
        return built

    return make


def _command(info: CommandInfo) -> Any:
    return get_command_from_info(info, pretty_exceptions_short=False, rich_markup_mode=DEFAULT_MARKUP_MODE)
