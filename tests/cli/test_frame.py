"""What every command shares: one answer on stdout, errors told once, the common options, logs."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest
import typer

from backup_core import errors
from backup_core.cli.frame import Invocation, UsageError, command
from backup_core.cli.options import Settings
from backup_core.cli.output import Reply, write_json

LOG = logging.getLogger("backup_core.something")
Run = Callable[..., tuple[int, str, str]]


@dataclass(frozen=True, kw_only=True)
class Pair:
    left: Annotated[str, typer.Option("--left")]
    right: Annotated[list[str] | None, typer.Option("--right")] = None


@pytest.fixture
def typed(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a one-command program: ``typed(work, *words)``."""

    def run(work: Callable[[Invocation], Reply], *words: str) -> tuple[int, str, str]:
        app = typer.Typer(pretty_exceptions_enable=False)
        app.callback()(lambda: None)

        def act(run: Invocation) -> Reply:
            return work(run)

        command(app, "act")(act)
        code = typer.main.get_command(app).main(args=["act", *words], prog_name="davault", standalone_mode=False)
        return (code, *capsys.readouterr())

    return run


def _answer(_: Invocation) -> Reply:
    return Reply({"number": 1}, lambda out: out.print("one [bold]x[/bold] :smile:"))


def _failing(error: BaseException) -> Callable[[Invocation], Reply]:
    def work(_: Invocation) -> Reply:
        raise error

    return work


def test_people_get_text_and_programs_get_one_document(typed: Run) -> None:
    assert typed(_answer) == (0, "one [bold]x[/bold] :smile:\n", "")
    code, out, err = typed(_answer, "--json")
    assert (code, json.loads(out), err) == (0, {"number": 1}, "")


def test_an_error_says_what_happened_and_what_to_do_next(typed: Run) -> None:
    code, out, err = typed(_failing(errors.WrongKey("no key of https://h/r opens with this password")))
    assert (code, out) == (7, "")
    assert err.splitlines() == [
        "error: no key of https://h/r opens with this password",
        "  next: check the configuration's key (davault config show NAME)",
    ]


def test_an_error_with_json_is_one_document_too(typed: Run) -> None:
    code, out, err = typed(_failing(errors.LockHeld("held by host, pid 3", holder="host")), "--json")
    assert code == 8
    assert json.loads(out)["error"] == {
        "kind": "LockHeld",
        "message": "held by host, pid 3",
        "next": "wait until the other program has finished, then run the command again",
        "exit_code": 8,
        "transient": True,
    }
    assert err.startswith("error: held by host")


def test_every_problem_of_a_configuration_is_shown(typed: Run) -> None:
    _, _, err = typed(_failing(errors.ConfigError("it is not valid", problems=["url: wrong", "name: missing"])))
    assert err.splitlines() == ["error: it is not valid", "  - url: wrong", "  - name: missing"]


def test_a_fault_of_the_program_shows_its_traceback_at_level_debug_only(typed: Run) -> None:
    code, _, err = typed(_failing(ZeroDivisionError("division")))
    assert code == 1
    assert "unexpected ZeroDivisionError: division" in err
    assert "--log-level debug" in err
    assert "Traceback" not in err
    assert "Traceback" in typed(_failing(ZeroDivisionError("division")), "--log-level", "debug")[2]


def test_a_full_disk_is_told_with_its_file(typed: Run) -> None:
    code, _, err = typed(_failing(OSError(28, "No space left on device", "/some/file")))
    assert (code, err) == (9, "error: No space left on device: /some/file\n")


def test_ctrl_c_outside_long_work_ends_at_once(typed: Run) -> None:
    code, _, err = typed(_failing(KeyboardInterrupt()))
    assert (code, err) == (130, "cancelled: stopped by Ctrl+C\n")


def test_a_command_may_find_mistakes_in_its_options_itself(typed: Run) -> None:
    code, _, err = typed(_failing(UsageError("these two exclude each other")))
    assert (code, err) == (2, "error: these two exclude each other\n  next: davault act --help\n")


def test_escape_sequences_in_errors_are_disarmed(typed: Run) -> None:
    assert "\x1b" not in typed(_failing(errors.SourceError("cannot read \x1b[2Jevil")))[2]


def test_logs_go_to_stderr_from_the_level_asked_for(typed: Run) -> None:
    def work(_: Invocation) -> Reply:
        LOG.debug("fine detail")
        LOG.warning("be careful")
        return Reply({}, lambda out: None)

    assert "be careful" in typed(work)[2]
    assert "fine detail" not in typed(work)[2]
    code, out, err = typed(work, "--json", "--log-level", "debug")
    assert (code, json.loads(out)) == (0, {})
    assert "fine detail" in err
    assert "be careful" not in typed(work, "--log-level", "error")[2]


def test_tracebacks_of_logs_go_to_the_file(typed: Run, tmp_path: Path) -> None:
    def work(_: Invocation) -> Reply:
        try:
            raise ValueError("deep")
        except ValueError:
            LOG.exception("it failed")
        LOG.info("all the same")
        return Reply({}, lambda out: None)

    log = tmp_path / "logs" / "run.log"
    _, _, err = typed(work, "--log-file", str(log))
    typed(work, "--log-file", str(log))
    assert "it failed" in err
    assert "Traceback" not in err
    assert log.read_text().count("Traceback") == log.read_text().count("all the same") == 2


def test_logging_is_as_before_afterwards(typed: Run) -> None:
    logger = logging.getLogger("backup_core")
    before = (logger.level, logger.propagate, list(logger.handlers))
    typed(_answer, "--log-level", "debug")
    assert (logger.level, logger.propagate, list(logger.handlers)) == before


def test_a_log_file_that_cannot_be_written_is_a_configuration_error(typed: Run, tmp_path: Path) -> None:
    code, _, err = typed(_answer, "--log-file", str(tmp_path))
    assert code == 5
    assert str(tmp_path) in err


def test_options_may_stand_before_the_command(tmp_path: Path) -> None:
    general = Settings(json_output=True, home=tmp_path)
    assert Settings(home=tmp_path / "own", quiet=True).over(general) == Settings(
        json_output=True, home=tmp_path / "own", quiet=True
    )


def test_a_dataclass_parameter_becomes_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    app = typer.Typer()
    app.callback()(lambda: None)

    def act(run: Invocation, *, name: Annotated[str, typer.Argument()], pair: Pair) -> Reply:
        return Reply({"name": name, "left": pair.left, "right": pair.right}, lambda out: None)

    command(app, "act")(act)
    words = ["act", "n", "--left", "l", "--right", "1", "--right", "2", "--json"]
    assert typer.main.get_command(app).main(args=words, standalone_mode=False) == 0
    assert json.loads(capsys.readouterr().out) == {"name": "n", "left": "l", "right": ["1", "2"]}


def test_long_arrays_are_written_as_they_come(capsys: pytest.CaptureFixture[str]) -> None:
    import sys

    nested = {"text": "重要 \udc80", "values": [1, {"a": None}]}
    write_json({"first": 1, "none": iter(()), "many": iter([nested, nested]), "last": {}}, sys.stdout)
    out = capsys.readouterr().out
    assert json.loads(out) == {"first": 1, "none": [], "many": [nested, nested], "last": {}}
    assert "重要" in out


def test_nothing_is_printed_when_the_document_cannot_be_completed(typed: Run) -> None:
    def rows() -> Iterator[object]:
        yield {"path": "a"}
        raise errors.Corrupt("tree 12 is damaged")

    code, out, _ = typed(lambda _: Reply({"files": rows()}, lambda out: None), "--json")
    assert code == 4
    assert list(json.loads(out)) == ["error"]
