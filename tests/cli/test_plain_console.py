"""What goes to a pipe is what Rich would write there, without loading Rich."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.text import Text

from backup_core.cli.output import console, facts, table
from backup_core.cli.plain_console import PlainConsole

ROWS = [("docs", "12"), ("照片", "3,456"), ("a name \x1b that is long", "-")]


@pytest.mark.parametrize(
    "shown",
    [
        "one line",
        "",
        table(("NAME", "FILES"), ROWS, right=("FILES",)),
        table(("NAME", "FILES"), []),
        facts([("name", "docs"), ("来源", "/home/me"), ("note", "a\nb")]),
        facts([]),
        Text("only Rich knows this"),
    ],
    ids=["text", "nothing", "table", "empty table", "facts", "no facts", "rich"],
)
def test_a_pipe_gets_what_rich_would_write(shown: object) -> None:
    plain, rich = io.StringIO(), io.StringIO()
    PlainConsole(plain, width=200).print(shown, soft_wrap=True)
    Console(file=rich, width=200, highlight=False, markup=False, emoji=False).print(shown, soft_wrap=True)
    assert plain.getvalue() == rich.getvalue()


def test_texts_are_joined_and_end_as_asked() -> None:
    stream = io.StringIO()
    PlainConsole(stream, width=80).print("a", "b", end="")
    PlainConsole(stream, width=80).print()
    assert stream.getvalue() == "a b\n"


def test_long_lines_stay_whole() -> None:
    stream = io.StringIO()
    console(stream).print("word " * 2000)
    assert stream.getvalue().count("\n") == 1


@pytest.mark.parametrize("variable", ["", "FORCE_COLOR", "TTY_COMPATIBLE"])
def test_colour_in_a_pipe_is_for_those_who_ask(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    if variable:
        monkeypatch.setenv(variable, "1")
    assert isinstance(console(io.StringIO()), Console if variable else PlainConsole)
