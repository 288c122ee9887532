"""The settings that keep history, slots and privacy, in both places that set them: the project's file, and the
environment of every server that is started here."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest

from flows._settings import server_environment

FILE = tomllib.loads((Path(__file__).resolve().parents[2] / "prefect.toml").read_text())
MADE = server_environment(Path("/srv/control-room"), "http://127.0.0.1:1", base={})
FILES = "prefect.server.concurrency.lease_storage.filesystem"


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("server.ephemeral.enabled", False),
        ("server.concurrency.lease_storage", FILES),
        ("server.analytics_enabled", False),
        ("server.ui.show_promotional_content", False),
        ("server.ui.v2_enabled", False),
        ("logging.extra_loggers", "backup_core"),
        ("logging.to_api.when_missing_flow", "ignore"),
    ],
)
def test_both_say_the_same(place: str, value: object) -> None:
    found = FILE
    for word in place.split("."):
        found = found[word]
    assert found == value
    variable = "PREFECT_" + place.upper().replace(".", "_")
    assert MADE[variable] == (str(value).lower() if isinstance(value, bool) else value)


def test_the_rest() -> None:
    assert FILE["deployments"]["clear_schedules_on_empty"] is True
    assert MADE["DO_NOT_TRACK"] == "1"
    assert MADE["PREFECT_HOME"] == "/srv/control-room", "everything is kept in one place that stays"


def test_prefect_understands_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that Prefect does not know would be passed over in silence."""
    from prefect.settings import Settings

    for name in [name for name in os.environ if name.startswith("PREFECT_")]:
        monkeypatch.delenv(name)
    for name, value in MADE.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    settings = Settings()
    assert settings.server.ephemeral.enabled is False
    assert settings.server.concurrency.lease_storage == FILES
    assert settings.server.analytics_enabled is False
    assert settings.server.ui.v2_enabled is False
    assert settings.ui_url == "http://127.0.0.1:1", "where links of the server's notices lead"
    assert settings.logging.extra_loggers == ["backup_core"]
