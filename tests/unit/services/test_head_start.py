"""What is derived ahead is what opening the repository asks for, or nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from backup_core.format import kdf, key_file
from backup_core.format.cipher import MasterKey
from backup_core.format.kdf import ScryptParameters
from backup_core.services.application import Application
from backup_core.services.head_start import begin_key
from backup_core.types import Secret

Wanted = tuple[Secret, ScryptParameters]


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], list[Wanted]]:
    """What is derived ahead for a configuration."""

    def of(name: str) -> list[Wanted]:
        found: list[Wanted] = []
        monkeypatch.setattr(kdf, "begin", lambda *wanted: found.append(wanted))
        begin_key(tmp_path / "home", name)
        return found

    return of


@pytest.fixture
def asked(app: Application, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[Wanted]]:
    """What opening the repository of a configuration asks for."""
    derive = key_file.derive

    def of(name: str) -> list[Wanted]:
        found: list[Wanted] = []

        def noted(password: Secret, parameters: ScryptParameters) -> MasterKey:
            found.append((password, parameters))
            return derive(password, parameters)

        with monkeypatch.context() as patch:
            patch.setattr(key_file, "derive", noted)
            app.repository_info(name)
        return found

    return of


def test_it_is_what_opening_asks_for(
    app: Application, configured, begun, asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    configured("named")
    configured("own", target_path="/own", encrypt_key=None)
    configured("open", target_path="/open", encrypt=False, encrypt_key=None)
    for name in ("named", "own", "open"):
        app.init_repository(name)
        assert begun(name) == asked(name)
        assert len(begun(name)) == 1
    monkeypatch.setenv("DAVAULT_KEY", "密钥")
    configured("variable", target_path="/variable", encrypt_key=None)
    app.init_repository("variable")
    assert begun("variable") == asked("variable") != []


def test_nothing_is_begun_that_must_be_asked_for(
    app: Application, configured, begun, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert begun("unknown") == []
    configured("文档")
    assert begun("文档") == [], "its server was never looked at"
    app.init_repository("文档")
    assert len(begun("文档")) == 1
    configured("文档", encrypt_key="keyring:davault/me")
    assert begun("文档") == []
    configured("文档", encrypt_key="env:NOWHERE")
    assert begun("文档") == []
    configured("文档", target_path="/moved")
    assert begun("文档") == [], "another repository may be there"
    configured("文档")
    monkeypatch.setenv("DAVAULT_CATALOGUE", "postgresql://somewhere/davault")
    assert begun("文档") == []
    monkeypatch.delenv("DAVAULT_CATALOGUE")
    for note in (tmp_path / "home" / "cache" / "hints").iterdir():
        if note.is_file():
            note.write_bytes(b"\xff/../../etc")
    assert begun("文档") == []
