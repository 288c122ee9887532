"""Printing to what is no terminal - a pipe, a file - without Rich, whose loading is a sixth of a short command."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, TextIO


class Drawn(ABC):
    """What can be drawn as plain lines."""

    @abstractmethod
    def plain(self) -> str:
        """The lines, each with its line feed."""


class PlainConsole:
    """As much of Rich's console as commands use; what only Rich can draw is left to it."""

    is_terminal = False

    def __init__(self, file: TextIO, *, width: int) -> None:
        self._file = file
        self._width = width

    def print(self, *objects: object, end: str = "\n", **manner: Any) -> None:
        """Write texts, or one object that draws itself."""
        if len(objects) == 1 and isinstance(objects[0], Drawn):
            self._file.write(objects[0].plain())
        elif all(isinstance(text, str) for text in objects):
            self._file.write(" ".join(map(str, objects)) + end)
        else:
            self._with_rich(*objects, end=end, **manner)
        self._file.flush()

    def _with_rich(self, *objects: object, **manner: Any) -> None:
        from rich.console import Console

        console = Console(file=self._file, width=self._width, highlight=False, markup=False, emoji=False)
        console.print(*objects, **manner)
