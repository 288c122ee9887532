"""Short commands load no package that they do not need: each costs its share of every start."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest

from backup_core.cli import collector
from backup_core.config.models import BackupConfig, ClientConfig
from backup_core.services.application import open_application

HEAVY = ("pandas", "numpy", "matplotlib", "prefect", "apprise", "prometheus_client", "httpx", "wsgidav")
A_GLANCE = ("sqlalchemy", "sqlmodel", "pydantic", "cryptography", "alembic", "rich")


@pytest.mark.parametrize(
    ("words", "more"),
    [
        (["--help"], ("sqlalchemy", "pydantic")),
        (["version"], ("sqlalchemy",)),
        (["list"], A_GLANCE),
        (["usage"], A_GLANCE),
        (["stats"], A_GLANCE),
    ],
)
def test_what_a_short_command_loads(words: list[str], more: tuple[str, ...], tmp_path: Path) -> None:
    open_application(tmp_path / "home").close()
    assert loaded_by(words, {"DAVAULT_HOME": str(tmp_path / "home")}) & {*HEAVY, *more} == set()


@pytest.mark.parametrize(
    ("words", "more"),
    [
        (["backup", "{}"], ("pydantic",)),
        (["restore", "{}", "--target", "out"], ("pydantic",)),
        (["validate", "--config", "{}"], ("pydantic",)),
    ],
)
def test_everyday_work_needs_no_database_packages(
    davault, docs: str, tmp_path: Path, words: list[str], more: tuple[str, ...]
) -> None:
    davault("backup", docs)
    env = {name: os.environ[name] for name in ("DAVAULT_HOME", "REPOSITORY_KEY")}
    loaded = loaded_by([word.format(docs) for word in words], env, tmp_path)
    assert loaded & {*HEAVY, *more, "sqlalchemy", "sqlmodel", "alembic"} == set()


def loaded_by(words: list[str], env: dict[str, str], cwd: Path | None = None) -> set[str]:
    """The modules that a command has loaded when it is done."""
    script = (
        "import sys; from backup_core.cli import main; code = main(sys.argv[1:]); "
        "sys.stderr.write('\\n'.join(['', *sys.modules])); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *words], capture_output=True, text=True, check=True, cwd=cwd,
        env={**env, "PATH": "/usr/bin"},
    )  # fmt: skip
    loaded = set(done.stderr.splitlines())
    assert "backup_core.cli.app" in loaded
    return loaded


def test_no_command_searches_all_installed_packages_for_plugins(tmp_path: Path) -> None:
    with open_application(tmp_path / "home") as application:
        application.add_client(ClientConfig(name="here", url=str(tmp_path)))
        application.add_config(
            BackupConfig(name="docs", source_paths=["/srv"], target_client_id="here", target_path="/b")
        )
    script = (
        "import sys, importlib.metadata as metadata; metadata.entry_points = None; "
        "from backup_core.cli import main; code = main(sys.argv[1:]); "
        "assert 'backup_core.config.models' in sys.modules; sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "config", "list"], capture_output=True, text=True, check=False,
        env={"DAVAULT_HOME": str(tmp_path / "home"), "PATH": "/usr/bin"},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_http_is_spoken_without_the_modules_for_http_2() -> None:
    script = (
        "import sys; from backup_core.storage.webdav.unused import pass_over_http2; pass_over_http2(); "
        "import httpx; httpx.Client().close(); "
        "sys.exit(', '.join(name for name in ('h2.connection', 'hpack') if name in sys.modules) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_collector_is_held_back_for_short_commands_and_works_as_ever_for_those_that_serve(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    usual = gc.get_threshold()
    monkeypatch.setattr(collector, "_USUAL", usual)
    try:
        collector.hold_back()
        assert gc.get_threshold()[0] > usual[0]
        collector.as_usual()
        assert gc.get_threshold() == usual
    finally:
        gc.set_threshold(*usual)
        gc.unfreeze()
