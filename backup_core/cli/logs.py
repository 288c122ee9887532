"""Logging of one invocation: warnings on stderr, and everything asked for into a file."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from copy import copy
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from backup_core.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

_FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


class LogLevel(StrEnum):
    """How much is told."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class _ConsoleHandler(logging.Handler):
    """Prints above a progress bar instead of through it. The console is made for the first message."""

    def __init__(self, console: Callable[[], Console]) -> None:
        super().__init__()
        self._console = console
        self.told: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._console().print(self.format(record), soft_wrap=True)
            self.told.add(record.getMessage())
        except Exception:
            self.handleError(record)


class _WithoutTraceback(logging.Formatter):
    """Leaves tracebacks to the log file and to level "debug"."""

    def format(self, record: logging.LogRecord) -> str:
        bare = copy(record)  # the file's handler formats the same record, with its traceback
        bare.exc_info = bare.exc_text = bare.stack_info = None
        return super().format(bare)


@contextmanager
def logging_to(console: Callable[[], Console], *, level: LogLevel, file: Path | None) -> Iterator[Collection[str]]:
    """While inside, what the library logs goes to the ``console`` and, if given, is appended to ``file``.

    Only this product's own loggers are shown; a file gets at least level "info". Gives the messages that the console
    has shown so far, so that an answer need not repeat them.

    Raises:
        ConfigError: the file cannot be written.
    """
    logger = logging.getLogger("backup_core")
    number = _number(level)
    to_console = _ConsoleHandler(console)
    to_console.setLevel(number)
    to_console.setFormatter((logging.Formatter if level is LogLevel.DEBUG else _WithoutTraceback)(_FORMAT))
    handlers: list[logging.Handler] = [to_console]
    if file is not None:
        handlers.append(_file_handler(file, min(number, logging.INFO)))
    before = (logger.level, logger.propagate)
    for handler in handlers:
        logger.addHandler(handler)
    logger.setLevel(min(handler.level for handler in handlers))
    logger.propagate = False
    try:
        yield to_console.told
    finally:
        logger.setLevel(before[0])
        logger.propagate = before[1]
        for handler in handlers:
            logger.removeHandler(handler)
            handler.close()


def _number(level: LogLevel) -> int:
    return logging.getLevelNamesMapping()[level.value.upper()]


def _file_handler(file: Path, number: int) -> logging.Handler:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handler = logging.FileHandler(file, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise ConfigError(f"the log file {file} cannot be written: {error.strerror or error}") from error
    handler.setLevel(number)
    handler.setFormatter(logging.Formatter(_FORMAT))
    return handler
