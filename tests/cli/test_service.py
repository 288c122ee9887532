"""``davault serve`` and ``davault service``, as a user types them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from backup_core.cli import serve_command


class Became(Exception):
    """Instead of becoming another program."""


@pytest.fixture
def became(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    programs: list[list[str]] = []

    def become(words: list[str]) -> None:
        programs.append(words)
        raise Became

    monkeypatch.setattr(serve_command, "start_program", become)
    return programs


def test_serve_becomes_the_program_that_may_import_prefect(davault, became: list[list[str]], tmp_path: Path) -> None:
    davault("serve", "--port", 4321, "--login-from", "env:PAGES", "--home", tmp_path, "--json", code=1)
    options = [
        "--host",
        "127.0.0.1",
        "--port",
        "4321",
        "--runs",
        "4",
        "--patience",
        "60.0",
        "--login-from",
        "env:PAGES",
    ]
    assert became == [[sys.executable, "-m", "deployments.serve", *options, "--home", str(tmp_path), "--json"]]


@pytest.mark.parametrize("words", [["--port", "0"], ["--runs", "0"], ["--patience", "-1"], ["--login-from", "secret"]])
def test_serve_refuses_what_makes_no_sense(davault, became: list[list[str]], words: list[str]) -> None:
    davault("serve", *words, code=2)
    assert became == []


@pytest.mark.parametrize("scope", ["user", "system"])
def test_a_dry_run_shows_the_unit(davault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scope: str) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    home = tmp_path / "home"
    words = ("service", "install", "--scope", scope, "--port", 4321, "--home", home, "--dry-run")
    document = davault(*words, "--json").document
    assert set(document) == {"unit", "text", "commands", "scope", "home", "dry_run"}
    assert f'Environment="DAVAULT_HOME={home}"' in document["text"] and '"--port" "4321"' in document["text"]
    shown = davault(*words).stdout
    assert document["text"].splitlines()[0] in shown and f"then: {document['commands'][-1]}" in shown
    assert not (tmp_path / "config").exists() and not home.exists()


def test_the_state_of_a_service_that_is_not_there(davault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    words = ("service", "status", "--scope", "user", "--home", tmp_path / "home")
    document = davault(*words, "--json", code=3).document
    assert (document["installed"], document["url"], document["answers"]) == (False, None, False)
    assert "(not installed)" in davault(*words, code=3).stdout
    assert "not installed" in davault("service", "uninstall", "--scope", "user", code=5).stderr
