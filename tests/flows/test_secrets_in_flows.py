"""All flows with marked secrets, at debug level: no run, log line, artifact, file or argument shows one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect.logging.handlers import APILogHandler
from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL, PREFECT_LOGGING_LEVEL, temporary_settings

from backup_core.config.models import BackupConfig, ClientConfig
from backup_core.config.recovery_plans import RecoveryPlan
from backup_core.services.application import Application, open_application
from backup_core.testing.leaks import spellings
from backup_core.testing.webdav_server import Answer, Request, WebDAVServer
from flows.alerts import alerts
from flows.backup import full_backup, incremental_backup
from flows.cleanup import cleanup_backups
from flows.disaster import disaster_recovery_drill, execute_disaster_recovery
from flows.health_check import health_check
from flows.mirror import mirror
from flows.restore import restore
from flows.storage_report import storage_report
from flows.validate import validate_backups

pytestmark = [pytest.mark.prefect, pytest.mark.usefixtures("prefect_server")]

KEY = "marked-flow-key-Ω7 with spaces"
WRONG = "marked-flow-wrong-password-99"


@pytest.fixture
def app(tmp_path: Path, dav: WebDAVServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Application]:
    """A home with everything that flows work on, and configurations whose password or key is wrong."""
    for name, value in {"DAV_PASSWORD": dav.password.reveal(), "THE_KEY": KEY, "WRONG": WRONG}.items():
        monkeypatch.setenv(name, value)
    source = tmp_path / "source"
    source.mkdir()
    (source / "one.txt").write_text("one")
    with open_application() as application:
        for name, secret in (("cloud", "DAV_PASSWORD"), ("bad", "WRONG")):
            application.add_client(
                ClientConfig(name=name, url=dav.url, username=dav.username, password=f"env:{secret}")
            )
        setups = (("docs", "cloud", "THE_KEY"), ("refused", "bad", "THE_KEY"), ("locked", "cloud", "WRONG"))
        for name, client, key in setups:
            application.add_config(
                BackupConfig(
                    name=name, source_paths=[str(source)], target_client_id=client, target_path="/r", keep_last=1,
                    encrypt_key=f"env:{key}", workers=1, mirrors=[{"client": "cloud", "path": "/copy"}],
                )
            )  # fmt: skip
        application.recovery.disaster_recovery.plans.add(
            RecoveryPlan.model_validate(
                {"name": "plan", "target_base_path": str(tmp_path / "recovered"), "rto": "1h", "rpo": "1d",
                 "steps": [{"name": "docs", "configuration": "docs", "after": [{"command": "env; exit 3"}]}]}
            )
        )  # fmt: skip
        yield application


def _echo(request: Request) -> Answer | None:
    # A server that sends back what it was sent, as some error pages do.
    echo = "".join(f"{name}: {value}\n" for name, value in request.headers.items())
    return Answer("400 Bad Request", echo.encode()) if request.method == "GET" else None


def test_no_flow_shows_a_secret(
    app: Application, dav: WebDAVServer, tmp_path: Path, programs: list[Any], caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    caplog.set_level("DEBUG")
    messages: list[str] = []

    def run(flow: Callable[..., Any], *arguments: Any, **options: Any) -> bool:
        state = flow(*arguments, return_state=True, **options)
        messages.append(f"{state.message}{state.data}")
        return bool(state.is_completed())

    with temporary_settings({PREFECT_LOGGING_LEVEL: "DEBUG"}):
        assert run(full_backup, "docs")
        assert run(incremental_backup, "docs")
        for name in ("refused", "locked"):
            assert not run(full_backup, name)
            assert not run(validate_backups, name)
        run(mirror, "docs")
        assert run(validate_backups, "docs", depth="data")
        assert run(restore, target=str(tmp_path / "back"), configuration="docs")
        assert run(cleanup_backups, "docs", dry_run=False)
        assert not run(execute_disaster_recovery, "plan", approved=True)
        run(disaster_recovery_drill, "plan", scratch=str(tmp_path))
        for flow in (health_check, storage_report, alerts):
            run(flow)
        dav.fault = _echo
        run(validate_backups, "docs", depth="data")
        run(full_backup, "docs")
        dav.fault = None
    APILogHandler().flush()

    secrets = (dav.password.reveal(), KEY, WRONG)
    wanted = [(secret, spelling) for secret in secrets for spelling in spellings(secret, dav.username)]
    seen = capfd.readouterr()
    texts = {
        "messages": "\n".join(messages), "log": caplog.text, "output": seen.out + seen.err, "programs": repr(programs),
    }  # fmt: skip
    places = {name: text.encode("utf-8", "surrogateescape") for name, text in texts.items()}
    database = Path(str(PREFECT_API_DATABASE_CONNECTION_URL.value()).partition("///")[2])
    assert database.stat().st_size > 100_000
    prefect_files = [path for path in database.parent.iterdir() if path.name.startswith(database.name)]
    for path in [*prefect_files, *_below(tmp_path / "davault-home"), *_below(dav.root)]:
        places[str(path)] = path.read_bytes()
    assert [(place, secret) for place, data in places.items() for secret, spelling in wanted if spelling in data] == []
    assert "marked" not in repr(app.list_configs()) + repr(app.list_clients())


def _below(top: Path) -> Iterator[Path]:
    return (path for path in sorted(top.rglob("*")) if path.is_file())
