"""What is registered on the Prefect server is what the catalogue says, however often it is done."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect import get_client

from backup_core.config.models import BackupConfig
from deployments import POOL
from deployments.choices import Choices
from deployments.planning import deployment_name, plan
from deployments.register import (
    bring_up,
    make_deployment,
    offer_choices,
    register_configurations,
    register_host,
    register_pool,
)
from flows._runtime import writer_limit

pytestmark = [pytest.mark.prefect]


def config(name: str, **changes: Any) -> BackupConfig:
    facts: dict[str, Any] = {"source_paths": ["/srv/data"], "target_client_id": "cloud", "target_path": "/backups"}
    return BackupConfig(name=name, **(facts | changes))


def registered() -> dict[str, Any]:
    with get_client(sync_client=True) as client:
        return {f"{client.read_flow(d.flow_id).name}/{d.name}": d for d in client.read_deployments()}


@pytest.mark.usefixtures("prefect_server")
def test_registering_again_changes_nothing_and_removes_what_is_gone() -> None:
    documents, photos = config("重要文档", schedule_time="23:30"), config("photos")
    register_pool()
    register_configurations([documents, photos], zone="Europe/Berlin")
    before = registered()
    assert len(before) == 2 * len(plan(documents, "Etc/UTC")) + 3
    assert [s.schedule.cron for s in before["storage-report/daily"].schedules] == ["0 7 * * *"]

    register_pool()
    register_configurations([documents, photos], zone="Europe/Berlin")
    again = registered()
    assert {name: d.id for name, d in again.items()} == {name: d.id for name, d in before.items()}
    assert len(again["validate-backups/重要文档"].schedules) == 7

    register_configurations([documents], zone="Europe/Berlin")
    left = registered()
    assert {name.split("/")[1] for name in left} == {"重要文档", "daily", "hourly"}
    nightly = left["incremental-backup/重要文档"]
    assert nightly.entrypoint == "flows.backup.incremental_backup"
    assert nightly.work_pool_name == POOL
    assert nightly.parameters == {"configuration": "重要文档"}
    (schedule,) = nightly.schedules
    assert (schedule.schedule.cron, schedule.schedule.timezone) == ("30 23 * * 1-6", "Europe/Berlin")
    with get_client(sync_client=True) as client:
        assert client.read_global_concurrency_limit_by_name(writer_limit(documents)).limit == 1
    bring_up(plan(config("重要文档"), "Etc/UTC")[1], Choices.of([documents], []))
    assert registered()["incremental-backup/重要文档"].schedules == [], "a schedule that is taken out is gone"


@pytest.mark.usefixtures("prefect_server")
def test_each_machine_has_a_pool_of_its_own_and_may_register_itself() -> None:
    register_pool()
    web, database, anywhere = config("web", host="Web-1"), config("database", host="db-1"), config("anywhere")
    register_configurations([web, database, anywhere], zone="Etc/UTC")
    pools = {name: d.work_pool_name for name, d in registered().items()}
    assert pools["incremental-backup/web"] == pools["restore/web"] == pools["health-check/web"] == "davault-web-1"
    assert pools["incremental-backup/database"] == "davault-db-1"
    assert pools["incremental-backup/anywhere"] == pools["fleet-backup/all-hosts"] == POOL

    # The machine that registers itself touches nothing of the others, and takes over what has become its own.
    moved = config("database", host="web-1")
    names = register_host("web-1", [moved, config("web2", host="web-1"), anywhere], zone="Etc/UTC")
    now = registered()
    assert "incremental-backup/web" not in now, "removed with its configuration"
    assert {name.split("/")[1] for name in names} == {"database", "web2"}
    assert now["incremental-backup/database"].work_pool_name == "davault-web-1"
    assert {"incremental-backup/anywhere", "fleet-backup/all-hosts"} <= now.keys()
    register_configurations([], zone="Etc/UTC")
    assert registered() == {}


@pytest.mark.usefixtures("prefect_server")
def test_the_server_makes_runs_of_a_schedule() -> None:
    from prefect.server.database import provide_database_interface
    from prefect.server.models.deployments import schedule_runs

    register_pool()
    nightly = next(p for p in plan(config("nights", schedule_time="02:00"), "Etc/UTC") if p.schedules)
    deployment = make_deployment(nightly, Choices.of([], ())).apply()

    async def schedule() -> int:
        # What the server's scheduler does once a minute; it failed with a release of a library that Prefect admits.
        async with provide_database_interface().session_context(begin_transaction=True) as session:
            return len(await schedule_runs(session, deployment_id=deployment, min_runs=3, max_runs=3))

    assert asyncio.run(schedule()) == 3


@pytest.mark.usefixtures("prefect_server")
def test_plans_are_drilled_every_month() -> None:
    register_pool()
    register_configurations([], zone="Europe/Berlin", plans=["主站"])
    drill = registered()["disaster-recovery-drill/主站"]
    assert (drill.parameters, drill.entrypoint) == ({"plan": "主站"}, "flows.disaster.disaster_recovery_drill")
    (schedule,) = drill.schedules
    assert schedule.schedule.cron == "30 9 1 * *"
    assert registered()["execute-disaster-recovery/主站"].schedules == []
    register_configurations([], zone="Europe/Berlin")
    assert not [name for name in registered() if name.endswith("/主站")]


@pytest.mark.usefixtures("prefect_server")
def test_forms_of_other_deployments_offer_names_too() -> None:
    register_pool()
    planned = plan(config("a", schedule_time="02:00"), "Etc/UTC")[0]
    by_hand = make_deployment(replace(planned, name="by-hand", parameters={}), Choices.of([], ()))
    by_hand.tags = ["davault"]
    by_hand.apply()
    assert offer_choices(Choices.of([config("重要文档"), config("photos")], [])) == ["full-backup/by-hand"]
    found = registered()["full-backup/by-hand"]
    text, nothing = found.parameter_openapi_schema["properties"]["configuration"]["anyOf"]
    assert (text["enum"], nothing) == (["photos", "重要文档"], {"type": "null"})
    assert len(found.schedules) == 1 and found.tags == ["davault"], "nothing else of it has changed"
    with get_client(sync_client=True) as client:
        client.delete_deployment(found.id)


def test_full_backups_alone_run_every_day() -> None:
    planned = {p.flow.name: p for p in plan(config("a", incremental=False, schedule_time="02:00"), "Etc/UTC")}
    assert [s.cron for s in planned["full-backup"].schedules] == ["0 2 * * *"]
    assert planned["incremental-backup"].schedules == ()


def test_mirrors_are_brought_up_to_date_after_the_backup() -> None:
    mirrors = [{"client": "usb", "path": "/copies"}]
    planned = {p.flow.name: p for p in plan(config("a", schedule_time="23:30", mirrors=mirrors), "Etc/UTC")}
    assert [s.cron for s in planned["mirror"].schedules] == ["0 1 * * *"]
    assert planned["mirror"].parameters == {"configuration": "a"}
    assert "mirror" not in {p.flow.name for p in plan(config("b"), "Etc/UTC")}


def test_without_a_time_nothing_is_scheduled() -> None:
    assert not any(p.schedules for p in plan(config("a"), "Etc/UTC"))


def test_names_that_prefect_does_not_allow_are_replaced() -> None:
    assert deployment_name("重要文档 2026") == "重要文档 2026"
    assert deployment_name("R&D <100%>").startswith("r-d-100-")


def test_prefect_yaml_names_flows_that_exist_and_no_place_or_secret() -> None:
    import importlib

    text = (Path(__file__).resolve().parents[2] / "prefect.yaml").read_text()
    document = yaml.safe_load(text)
    for deployment in document["deployments"]:
        module, _, name = deployment["entrypoint"].rpartition(".")
        flow = getattr(importlib.import_module(module), name)
        wanted = [deployment.get("parameters", {}), *(s.get("parameters", {}) for s in deployment.get("schedules", []))]
        known = set(flow.parameters.properties)
        assert all(set(parameters) <= known for parameters in wanted)
    assert not [word for word in text.split() if word.startswith("/") or "password" in word.lower()]
