"""The flow ``alerts`` tells people, and the server, whose automations tell what they hear (``test_control_room``)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import ANY

import pytest
from prefect import get_client

from backup_core.config.models import BackupConfig, ClientConfig
from backup_core.config.notifications import NotificationSettings
from backup_core.config.recovery_plans import RecoveryPlan
from backup_core.services.application import open_application
from flows.alerts import alerts

from .hooks import Hook

pytestmark = [pytest.mark.prefect]


@pytest.fixture
def hook() -> Iterator[Hook]:
    with Hook() as hook:
        yield hook


def events(name: str) -> list[object]:
    """The contents of the events of a name, once the server has some."""
    body = {"filter": {"event": {"name": [name]}}}
    for _ in range(100):
        with get_client(sync_client=True) as client:
            found = client.request("POST", "/events/filter", json=body).json()["events"]
        if found:
            return [event["payload"] for event in found]
        threading.Event().wait(0.1)
    return []


@pytest.mark.usefixtures("prefect_server")
def test_people_are_told(hook: Hook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAVAULT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OPS", f"json://{hook.address}/")
    with open_application() as application:
        manager = application.recovery.disaster_recovery
        application.add_client(ClientConfig(name="disk", url=str(tmp_path / "store")))
        application.add_config(BackupConfig(name="a", source_paths=["/srv"], target_client_id="disk", target_path="/b"))
        steps = [{"name": "a", "configuration": "a"}]
        manager.plans.add(RecoveryPlan.model_validate({"name": "主站", "target_base_path": "/x", "steps": steps}))
        manager.notices.keep(NotificationSettings(channels=["env:OPS"], drill_due=1e-6, no_backup_for=1e-6))
    told = alerts()
    assert told.new == ("no-backup:a", "drill-missed:主站")
    assert "was never drilled" in hook.bodies.get(timeout=60).decode()
    assert events("davault.configuration.watched") == [{}], "people know that its backup is missing"
    assert alerts().new == (), "the same is not told at once again"
    # The server's own channel tells what people could not be told, and only that.
    monkeypatch.delenv("OPS")
    with open_application() as application:
        plans = application.recovery.disaster_recovery.plans
        plans.add(RecoveryPlan.model_validate({"name": "副站", "target_base_path": "/x", "steps": steps}))
    state = alerts(return_state=True)
    assert state.is_failed() and "env:OPS was not told" in (state.message or "")
    assert events("davault.alert.drill-missed") == [{"message": ANY, "advice": "drill it: davault dr drill 副站"}]
    assert events("davault.configuration.watched") == [{}, {}], "nobody knows it of this look"
    assert len(alerts(send=False).alerts) == 3
