"""What the Prefect server watches and tells by itself: a real server acts on what befalls runs, and on silence."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from datetime import timedelta

import pytest
from prefect import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.states import Failed

from backup_core.clock import SystemClock
from backup_core.config.models import BackupConfig
from backup_core.services.alerts.records import Alert, AlertKind
from deployments.automations import Periods, register_automations, remove_automations
from deployments.choices import Choices
from deployments.planning import plan
from deployments.register import make_deployment, register_pool
from flows._signs import emit_alert, emit_watched

from .conftest import PAGES
from .hooks import Hook

pytestmark = [pytest.mark.prefect, pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]


def a_run() -> FlowRun:
    """Of a deployment, as nobody carries it out."""
    register_pool()
    config = BackupConfig(name="alerts", source_paths=["/s"], target_client_id="c", target_path="/b")
    deployment = make_deployment(plan(config, "Etc/UTC")[0], Choices.of([config], [])).apply()
    with get_client(sync_client=True) as client:
        return client.create_flow_run_from_deployment(deployment)


def until(question: Callable[[], bool], *, what: str | Callable[[], str]) -> None:
    """Ask until the answer is true."""
    clock = SystemClock()
    end = clock.monotonic() + 120
    while not question():
        if clock.monotonic() > end:
            pytest.fail(f"after two minutes still not: {what if isinstance(what, str) else what()}")
        clock.sleep(0.2)


def test_alerts_of_every_kind_and_silence_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with Hook() as hook:
        monkeypatch.setenv("CHANNEL", f"http://{hook.address}/")
        register_automations("env:CHANNEL", ["文档"], periods=Periods(timedelta(seconds=11), timedelta(minutes=9)))
        emit_watched(["other"], [])
        run = a_run()
        told: dict[str, str] = {}
        awaited = [f"Davault: {kind.value} it is" for kind in AlertKind]
        awaited += [f"Davault: {run.name} has failed", "Davault has fallen silent", "Davault: no new backup of 文档"]
        looks = itertools.count()

        def happen() -> None:
            for kind in AlertKind:
                if f"Davault: {kind.value} it is" not in told:
                    emit_alert(Alert(kind, "文档", f"{kind.value} it is", f"mend {kind.value}"))
            if f"Davault: {run.name} has failed" not in told:
                with get_client(sync_client=True) as client:
                    client.set_flow_run_state(run.id, Failed(message="507 Insufficient Storage"), force=True)

        def heard() -> bool:
            if next(looks) % 50 == 0:
                happen()  # once more every ten seconds: the server takes a while until it acts on new automations
            while (body := hook.taken()) is not None:
                document = json.loads(body)
                told[document["subject"]] = document["text"]
            return told.keys() >= set(awaited)

        until(heard, what=lambda: f"told of {sorted(set(awaited) - told.keys())}")
        for kind in AlertKind:
            assert told[f"Davault: {kind.value} it is"] == f"{kind.value} it is.\nWhat to do: mend {kind.value}"
        assert "507 Insufficient Storage" in told[f"Davault: {run.name} has failed"]
        assert f"{PAGES}/runs/flow-run/{run.id}" in told[f"Davault: {run.name} has failed"]
        assert "Is a worker running?" in told["Davault has fallen silent"]
        assert "davault backup 文档" in told["Davault: no new backup of 文档"]

        # Doing it again changes nothing; what is gone is removed; and any Apprise URL will do.
        names = register_automations(None, ["文档"], periods=Periods(timedelta(seconds=11), timedelta(minutes=9)))
        assert len(names) == len(AlertKind) + 4
        monkeypatch.setenv("CHANNEL", f"json://{hook.address}/")
        assert "davault: no backup of 文档" not in register_automations("env:CHANNEL", [])
        emit_alert(Alert(AlertKind.HOLD, "文档", "it looks wrong", "look"))

        def by_apprise() -> bool:
            body = hook.taken()
            return body is not None and json.loads(body).get("title") == "Davault: it looks wrong"

        until(by_apprise, what="the alert came through Apprise")
        assert len(remove_automations()) == len(AlertKind) + 3
