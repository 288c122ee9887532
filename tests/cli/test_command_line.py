"""The command line as a whole: help, versions, usage errors, quick start, and how fast it starts."""

from __future__ import annotations

import importlib
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from backup_core import cli
from backup_core.cli import system_commands
from backup_core.cli.app import build

COMMANDS = {
    "client add", "client edit", "client list", "client remove", "client probe", "client show",
    "key list", "key add", "key remove", "key change", "key rotate", "repair index", "repair packs", "repair snapshots",
    "parity create", "parity status",
    "config add", "config edit", "config list", "config show", "config remove", "config import", "config export",
    "init", "backup", "estimate", "unlock",
    "list", "files", "find", "diff", "history", "usage", "stats", "report", "metrics",
    "validate", "restore", "restore-set", "dump", "browse", "restores", "mirror", "health", "recover",
    "vanished", "kit", "prune", "quickstart", "doctor", "version", "serve",
    "service install", "service uninstall", "service status",
    "dr create", "dr edit", "dr list", "dr show", "dr remove", "dr import", "dr export",
    "dr test", "dr drill", "dr execute", "dr resume", "dr history", "dr report",
    "cleanup", "forget", "pin add", "pin remove", "pin list", "hold list", "hold release",
    "notify set", "notify show", "notify test", "alerts",
}  # fmt: skip
COMMON = ("--json", "--home", "--quiet", "--log-level", "--log-file")
DOCUMENTATION = (Path(__file__).resolve().parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")


def _commands() -> dict[str, list[str]]:
    entry = build()
    found = {}
    for name, command in entry.commands.items():
        for path, leaf in {f"{name} {n}": c for n, c in getattr(command, "commands", {}).items()}.items() or (
            {name: command}.items()
        ):
            found[path] = [option for p in leaf.params if p.param_type_name == "option" for option in p.opts]
    return found


def test_the_commands_and_their_common_options() -> None:
    found = _commands()
    assert set(found) == COMMANDS
    assert all(set(COMMON) <= set(options) for options in found.values())


def test_every_command_of_every_module_can_be_called() -> None:
    places = cli.__path__[0], *(str(path) for path in Path(cli.__path__[0]).iterdir() if path.is_dir())
    registered = set()
    for place in places:
        package = ".".join(["backup_core.cli", *Path(place).relative_to(cli.__path__[0]).parts])
        for _, name, _ in pkgutil.iter_modules([place]):
            module = importlib.import_module(f"{package}.{name}")
            app = typer.Typer()
            if hasattr(module, "register"):
                module.register(app)
            registered |= {info.name for info in app.registered_commands}
            groups = [value for value in vars(module).values() if isinstance(value, typer.Typer)]
            registered |= {f"{g.info.name} {info.name}" for g in groups for info in g.registered_commands}
    assert registered == COMMANDS


def test_the_documentation_knows_every_command_and_option() -> None:
    for path, options in _commands().items():
        assert f"`{path}" in DOCUMENTATION, path
        assert [o for o in options if not re.search(rf"[` ]{o}\b", DOCUMENTATION)] == [], path


def test_no_option_takes_a_password_or_key() -> None:
    options = {option for options in _commands().values() for option in options}
    assert {o for o in options if "password" in o or "key" in o} == {
        "--password-env", "--password-file", "--key-env", "--key-file", "--new-key-env", "--new-key-file",
        "--password-from", "--proxy-password-from", "--client-key", "--client-key-password-from",
    }  # fmt: skip


@pytest.mark.parametrize("words", [["--help"], ["backup", "--help"], ["client", "-h"], ["config", "add", "--help"]])
def test_help(davault, words: list[str]) -> None:
    assert "Usage: davault" in davault(*words).stdout


def test_versions(davault) -> None:
    number = davault("version", "--json").document["version"]
    assert davault("--version").stdout == f"davault {number}\n"
    assert davault("--json", "version").document["repository_format"] == 2
    assert davault("version").stdout.startswith(f"davault {number} (restic repository format 2")


@pytest.mark.parametrize(
    "words",
    [
        ["backup"],
        ["nonsense"],
        ["backup", "docs", "--type", "sometimes"],
        ["backup", "docs", "--unknown"],
        ["validate"],
        ["validate", "docs_1", "--all"],
        ["validate", "--all", "--read-data-subset", "1/7"],
        ["validate", "--all", "--live-source"],
        ["restore", "--target", "/tmp/x"],
        ["restore", "docs", "--backup", "docs_1", "--target", "/tmp/x"],
        ["restore", "docs"],
        ["restore", "docs", "--target", "/tmp/x", "--at", "yesterday"],
        ["restore", "--backup", "docs_1", "--target", "/tmp/x", "--at", "2025-10-31"],
        ["restore", "docs", "--target", "/tmp/x", "--dry-run", "--verify"],
        ["client", "add", "c", "--url", "https://h/", "--password-env", "A", "--password-file", "b"],
        ["config", "add", "n", "--client", "c", "--path", "/p", "--source", "/s", "--no-encrypt", "--key-env", "A"],
    ],
    ids=" ".join,
)
def test_mistakes_in_the_command_line(davault, words: list[str]) -> None:
    ended = davault(*words, code=2)
    assert ended.stdout == ""
    assert ended.stderr.startswith("error: ")
    assert "--help" in ended.stderr
    error = davault(*words, "--json", code=2).document["error"]
    assert (error["kind"], error["exit_code"]) == ("UsageError", 2)


def test_quickstart_becomes_the_flows_program(davault, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Became(Exception):
        pass

    def become(words: list[str]) -> None:
        raise Became(words)

    monkeypatch.setattr(system_commands, "start_program", become)
    home = tmp_path / "h"
    log = tmp_path / "log"
    ended = davault("quickstart", "--source", tmp_path, "--keep", "--home", home, "--log-level", "info", "--log-file",
                    log, "--json", code=1)  # fmt: skip
    words = ["-m", "flows.quickstart", "--source", str(tmp_path), "--keep", "--home", str(home), "--log-level", "info",
             "--log-file", str(log), "--json"]  # fmt: skip
    assert str([sys.executable, *words]) in ended.document["error"]["message"]


def test_nothing_heavy_is_loaded_before_a_command_needs_it() -> None:
    program = (
        "import sys; from backup_core.cli import main; code = main(['version']);"
        "heavy = {'pandas', 'prefect', 'sqlalchemy', 'sqlmodel', 'httpx', 'cryptography', 'zstandard'};"
        "sys.exit(code or ', '.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_program_of_the_package_is_this_one() -> None:
    from importlib.metadata import entry_points

    (script,) = entry_points(group="console_scripts", name="davault")
    assert script.value == "backup_core.cli:main"


def test_shell_completion_is_offered() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import sys; from backup_core.cli import main; sys.exit(main())", "--show-completion"],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "SHELL": "/bin/bash"},
    )
    assert done.returncode in (0, 1), done.stderr
