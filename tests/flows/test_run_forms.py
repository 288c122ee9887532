"""The run forms explain themselves: every parameter is described, and names are chosen from the catalogue."""

from __future__ import annotations

from typing import Any

import pytest

from backup_core.config.models import BackupConfig
from deployments.choices import Choices
from deployments.planning import Planned, plan, plan_for_all, plan_recovery
from deployments.register import make_deployment

CONFIGS = [
    BackupConfig(
        name=name, source_paths=["/srv/data"], target_client_id="cloud", target_path=f"/{name}",
        mirrors=[{"client": "usb", "path": "/copies"}], keep_daily=7, schedule_time="02:00",
    )
    for name in ("重要文档", "photos")
]  # fmt: skip
PLANS = ("主站",)
PLANNED = [*plan(CONFIGS[0], "Etc/UTC"), *plan_for_all("Etc/UTC"), *plan_recovery(PLANS[0], "Etc/UTC")]


def properties(planned: Planned) -> dict[str, Any]:
    return make_deployment(planned, Choices.of(CONFIGS, PLANS))._parameter_openapi_schema.properties


@pytest.mark.parametrize("planned", PLANNED, ids=lambda planned: planned.flow.name)
def test_every_parameter_is_described_and_bounded(planned: Planned) -> None:
    assert planned.description and planned.flow.description
    for name, schema in properties(planned).items():
        assert schema.get("description"), f"{planned.flow.name}.{name} is not described"
        kinds = [kind for kind in schema.get("anyOf", [schema]) if kind.get("type") != "null"]
        assert all(_is_bounded(kind) for kind in kinds), f"{planned.flow.name}.{name} takes anything"


def _is_bounded(schema: dict[str, Any]) -> bool:
    if schema.get("type") == "array":
        return "maxItems" in schema and _is_bounded(schema["items"])
    if schema.get("type") in ("integer", "number"):
        return "minimum" in schema or "exclusiveMinimum" in schema
    return schema.get("type") == "boolean" or bool(schema.keys() & {"enum", "maxLength", "pattern", "format"})


@pytest.mark.parametrize("planned", PLANNED, ids=lambda planned: planned.flow.name)
def test_names_are_chosen_and_presets_are_among_the_choices(planned: Planned) -> None:
    offered = {"configuration": ["photos", "重要文档"], "plan": ["主站"], "mirror": ["usb:/copies"]}
    for name, schema in properties(planned).items():
        choices = [kind["enum"] for kind in schema.get("anyOf", [schema]) if "enum" in kind]
        if name in offered:
            assert choices == [offered[name]]
        if choices and planned.parameters.get(name) is not None:
            assert planned.parameters[name] in choices[0]


def test_without_names_there_is_a_field_for_text() -> None:
    schema = {"configuration": {"anyOf": [{"type": "string"}, {"type": "null"}]}}
    Choices.of([], []).offer(schema)
    assert "enum" not in schema["configuration"]["anyOf"][0]


def test_destructive_flows_begin_as_a_dry_run_or_with_a_question() -> None:
    forms = {planned.flow.name: properties(planned) for planned in PLANNED}
    assert forms["cleanup-backups"]["dry_run"]["default"] is True
    assert forms["execute-disaster-recovery"]["approved"]["default"] is False
