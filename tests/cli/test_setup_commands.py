"""Clients, configurations, and where passwords and keys are kept."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

import pytest

from backup_core.cli import client_commands, passwords
from backup_core.cli.frame import UsageError
from backup_core.types import Secret


def test_a_client_is_added_listed_and_removed(davault, secrets) -> None:
    words = ("--url", "https://dav.example.org/dav/", "--username", "me", "--password-env", "ACCOUNT_PASSWORD")
    added = davault("client", "add", "cloud", *words, "--service-type", "nutstore", "--json").document
    assert added["client"]["password_source"] == "env:ACCOUNT_PASSWORD"
    assert added["client"]["service_type"] == "nutstore"
    (listed,) = davault("client", "list", "--json").document["clients"]
    assert listed == added["client"]
    assert "env:ACCOUNT_PASSWORD" in davault("client", "list").stdout
    assert davault("client", "remove", "cloud", "--json").document == {"removed": "cloud"}
    assert davault("client", "list", "--json").document["clients"] == []


def test_a_name_is_taken_once_unless_replaced(davault) -> None:
    davault("client", "add", "disk", "--url", "file:///srv/a")
    davault("client", "add", "disk", "--url", "file:///srv/b", code=5)
    davault("client", "add", "disk", "--url", "file:///srv/b", "--replace")
    assert davault("client", "list", "--json").document["clients"][0]["url"] == "file:///srv/b"


def test_a_typed_password_is_kept_in_a_private_file(davault, secrets, monkeypatch) -> None:
    monkeypatch.setattr(client_commands, "ask_password", lambda question, options: Secret(secrets.password))
    document = davault("client", "add", "cloud", "--url", "https://h.invalid/", "--username", "me", "--json").document
    scheme, _, path = document["client"]["password_source"].partition(":")
    assert scheme == "file"
    assert Path(path).is_relative_to(os.environ["DAVAULT_HOME"])
    assert Path(path).read_text().strip() == secrets.password
    assert stat.S_IMODE(Path(path).stat().st_mode) == 0o600


def test_without_a_terminal_nothing_is_asked(davault) -> None:
    ended = davault("client", "add", "cloud", "--url", "https://h.invalid/", "--username", "me", code=2)
    assert "--password-env or --password-file" in ended.stderr


def test_on_a_terminal_the_answer_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, object] = {}

    def prompt(question: str, **options: object) -> str:
        asked.update(options)
        return "typed"

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr(passwords.typer, "prompt", prompt)
    assert passwords.ask_password("Password", "options").reveal() == "typed"
    assert asked == {"hide_input": True, "err": True}
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    with pytest.raises(UsageError):
        passwords.ask_password("Password", "options")


def test_a_reference_that_leads_nowhere_yet_is_noted(davault, tmp_path: Path) -> None:
    ended = davault("client", "add", "cloud", "--url", "https://h.invalid/", "--username", "me",
                    "--password-file", tmp_path / "later", "--json")  # fmt: skip
    (note,) = ended.document["notes"]
    assert str(tmp_path / "later") in note


def test_a_configuration_is_added_shown_and_removed(davault, docs: str, source: Path) -> None:
    davault("config", "add", "more", "--client", "disk", "--path", "backups", "--source", source, "--include", "*.pdf",
            "--include", "*.txt", "--no-compression", "--full", "--max-versions", "30", "--schedule-time", "2:00",
            "--max-file-size", "500M", "--one-file-system", "--ignore-case")  # fmt: skip
    config = davault("config", "show", "more", "--json").document["config"]
    assert config["source_paths"] == [str(source)]
    assert config["include_patterns"] == ["*.pdf", "*.txt"]
    assert (config["compression"], config["incremental"], config["max_versions"]) == (False, False, 30)
    assert (config["schedule_time"], config["max_file_size"], config["target_path"]) == ("02:00", 500 << 20, "/backups")
    assert (config["one_file_system"], config["case_insensitive"]) == (True, True)
    shown = davault("config", "show", "more").stdout
    assert "500.0 MiB" in shown
    assert "02:00" in shown
    davault("client", "remove", "disk", code=5)
    davault("config", "remove", "more")
    davault("config", "remove", docs)
    davault("client", "remove", "disk")


def test_what_is_exported_can_be_imported(davault, docs: str, tmp_path: Path, monkeypatch) -> None:
    text = davault("config", "export").stdout
    assert davault("config", "export", "docs", "--json").document["toml"]
    before = davault("config", "show", docs, "--json").document
    (tmp_path / "all.toml").write_text(text, encoding="utf-8")
    davault("config", "import", tmp_path / "all.toml", code=5)
    davault("config", "import", tmp_path / "all.toml", "--replace")
    monkeypatch.setenv("DAVAULT_HOME", str(tmp_path / "other"))
    assert "docs" in davault("config", "import", tmp_path / "all.toml").stdout
    assert davault("config", "show", docs, "--json").document == before


def test_every_problem_is_told_at_once(davault, docs: str) -> None:
    ended = davault("config", "add", "bad/name", "--client", "disk", "--path", "/../x", "--source", "/s",
                    "--schedule-time", "25:00", "--max-versions", "0", code=5)  # fmt: skip
    assert ended.stderr.count("  - ") == 4


def test_no_secret_is_ever_printed(davault, docs: str, secrets) -> None:
    davault("client", "add", "cloud", "--url", "https://h.invalid/", "--username", "me",
            "--password-env", "ACCOUNT_PASSWORD")  # fmt: skip
    said = ""
    for words in (["client", "list"], ["config", "list"], ["config", "show", docs], ["config", "export"],
                  ["init", docs], ["backup", docs], ["list"], ["doctor"]):  # fmt: skip
        for extra in ((), ("--json",), ("--log-level", "debug")):
            ended = davault(*words, *extra, code=None)
            said += ended.stdout + ended.stderr
    assert [secret for secret in secrets if secret in said] == []
    kept = [path for path in Path(os.environ["DAVAULT_HOME"]).rglob("*") if path.is_file() and _holds(path, secrets)]
    assert kept == []


def _holds(path: Path, secrets: Iterable[str]) -> bool:
    content = path.read_bytes()
    return any(secret.encode() in content for secret in secrets)


@pytest.mark.parametrize("command", ["init", "backup"])
def test_a_new_key_is_announced_exactly_once(davault, docs: str, tmp_path: Path, source: Path, command: str) -> None:
    davault("config", "add", docs, "--client", "disk", "--path", "/new", "--source", source, "--replace")
    first = davault(command, docs)
    assert (first.stdout + first.stderr).count("WITHOUT THIS FILE NOBODY CAN READ THE BACKUPS") == 1
    later = davault("backup", docs)
    assert "WITHOUT THIS FILE" not in later.stdout + later.stderr
    davault("config", "add", "other", "--client", "disk", "--path", "/other", "--source", source)
    document = davault("init", "other", "--json").document
    assert [note for note in document["notes"] if "NOBODY CAN READ" in note], "programs are told in the document"


def test_a_backup_bears_the_tags_it_was_given(davault, docs: str) -> None:
    davault("backup", docs, "--tag", "before the move", "--tag", "yearly")
    davault("backup", docs)
    listed = davault("list", docs, "--json").document["backups"]
    assert [b["tags"] for b in listed] == [[], ["before the move", "yearly"]]
    davault("cleanup", docs, "--keep-tag", "yearly", "--yes")
    assert len(davault("list", docs, "--refresh", "--json").document["backups"]) == 2
    davault("backup", docs)
    davault("cleanup", docs, "--keep-tag", "yearly", "--yes")
    assert [b["tags"] for b in davault("list", docs, "--json").document["backups"]] == [
        [], ["before the move", "yearly"],
    ]  # fmt: skip
    for wrong in ("a,b", "config:x", "davault", " "):
        assert "cannot be tags" in davault("backup", docs, "--tag", wrong, code=5).stderr
