"""References to secrets: each kind, and errors that say exactly which one failed."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest

from backup_core.config import secrets
from backup_core.config.secrets import resolve_secret
from backup_core.errors import ConfigError
from backup_core.types import Secret


def resolve(source: str | Secret, **environment: str) -> str:
    return resolve_secret(source, what="the key of 文档", environment=environment).reveal()


def test_a_literal_is_itself() -> None:
    assert resolve(Secret("x")) == "x"


def test_the_environment() -> None:
    assert resolve("env:KEY", KEY="x") == "x"
    with pytest.raises(ConfigError, match=r"the key of 文档 cannot be had from env:KEY: .*KEY is not set"):
        resolve("env:KEY")
    with pytest.raises(ConfigError, match="empty"):
        resolve("env:KEY", KEY="")


def test_the_first_line_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("密钥 with spaces \nsecond line\n")
    assert resolve(f"file:{file}") == "密钥 with spaces "


@pytest.mark.parametrize(
    ("content", "why"), [(None, "No such file"), (b"", "empty"), (b"\xff\xfe", "UTF-8"), (b"x" * 70000, "64 KiB")]
)
def test_files_that_are_no_key(tmp_path: Path, content: bytes | None, why: str) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=why) as caught:
        resolve(f"file:{file}")
    assert f"file:{file}" in str(caught.value)


def test_the_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    class KeyringError(Exception):
        pass

    def get_password(service: str, user: str) -> str | None:
        if service == "locked":
            raise KeyringError("it is locked")
        return "x" if (service, user) == ("a/b", "me") else None

    errors = types.ModuleType("keyring.errors")
    errors.KeyringError = KeyringError
    keyring = types.ModuleType("keyring")
    keyring.get_password = get_password
    monkeypatch.setitem(sys.modules, "keyring", keyring)
    monkeypatch.setitem(sys.modules, "keyring.errors", errors)
    assert resolve("keyring:a/b/me") == "x"
    with pytest.raises(ConfigError, match="no password of you"):
        resolve("keyring:a/b/you")
    with pytest.raises(ConfigError, match="it is locked"):
        resolve("keyring:locked/me")
    with pytest.raises(ConfigError, match="keyring:SERVICE/USER"):
        resolve("keyring:me")


def test_without_the_keyring_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(ConfigError, match="not installed"):
        resolve("keyring:a/b")


def test_a_literal_of_another_process() -> None:
    with pytest.raises(ConfigError, match="memory only"):
        resolve("memory:")


def test_a_registered_scheme(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "_registered", {})
    with pytest.raises(ConfigError, match="prefect"):
        resolve("prefect:block")
    secrets.register_resolver("prefect", lambda rest: rest.upper())
    assert resolve("prefect:block") == "BLOCK"
