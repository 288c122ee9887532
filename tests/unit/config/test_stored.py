"""Records that stand for clients and configurations answer as the models do."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from backup_core.config.models import BackupConfig, ClientConfig
from backup_core.config.stored import stored_client, stored_configuration
from backup_core.types import Secret

CONFIGURATIONS = [
    BackupConfig(name="docs", source_paths=["/home/me"], target_client_id="dav", target_path="/backups"),
    BackupConfig(
        name="shop",
        source_paths=["/srv"],
        target_client_id="dav",
        target_path="/backups",
        host="web",
        incremental=False,
        encrypt_key="env:SHOP_KEY",
        parity="5%",
        max_file_size="500M",
        command_sources=[{"name": "shop.sql", "command": ["pg_dump", "shop"]}],
        mirrors=[{"client": "nas", "path": "/copies"}],
        hooks={"before": ["sync"], "timeout": 5},
    ),
]
CLIENTS = [
    ClientConfig(name="dav", url="https://dav.example.org/dav/", username="me", password="env:PASSWORD"),
    ClientConfig(name="s3", url="s3://bucket", storage_options={"endpoint_url": "https://s3.example.org"}),
]


@pytest.mark.parametrize("model", CONFIGURATIONS, ids=lambda model: model.name)
def test_a_stored_configuration_answers_as_the_model_does(model: BackupConfig) -> None:
    stored = stored_configuration(model.record())
    for field in set(BackupConfig.model_fields) - {"hooks"}:
        assert getattr(stored, field) == getattr(model, field), field
    for field in type(model.hooks).model_fields:
        assert getattr(stored.hooks, field) == getattr(model.hooks, field), field
    for fact in ("place", "stored_paths", "parity_share", "default_type"):
        assert getattr(stored, fact) == getattr(model, fact), fact
    assert [stored.is_of(host) for host in ("web", "")] == [model.is_of(host) for host in ("web", "")]
    assert stored.record() == model.record()
    assert stored.model_copy(update={"workers": 2}) == model.model_copy(update={"workers": 2})


@pytest.mark.parametrize("model", CLIENTS, ids=lambda model: model.name)
def test_a_stored_client_answers_as_the_model_does(model: ClientConfig) -> None:
    stored = stored_client(model.record())
    for field in ClientConfig.model_fields:
        assert getattr(stored, field) == getattr(model, field), field
    assert (stored.record(), stored.secrets()) == (model.record(), model.secrets())


def test_secrets_in_memory_are_not_in_the_record() -> None:
    client = stored_client({**CLIENTS[0].record(), "password": Secret("clear")})
    config = stored_configuration({**CONFIGURATIONS[0].record(), "encrypt_key": Secret("clear")})
    assert (client.password, config.encrypt_key) == (Secret("clear"), Secret("clear"))
    assert (client.record()["password"], config.record()["encrypt_key"]) == ("memory:", "memory:")


@pytest.mark.parametrize("field", ["workers", "exclude_if_present", "mirrors", "hooks"])
def test_what_an_older_version_did_not_store_has_its_default(field: str) -> None:
    record: dict[str, Any] = CONFIGURATIONS[0].record()
    del record[field]
    stored = stored_configuration(record)
    if field == "hooks":
        assert (stored.hooks.before, stored.hooks.timeout) == ([], 600.0)
    else:
        assert getattr(stored, field) == getattr(CONFIGURATIONS[0], field)


def test_what_no_model_has_is_an_attribute_error() -> None:
    stored = stored_configuration(CONFIGURATIONS[0].record())
    with pytest.raises(AttributeError):
        _ = stored.no_such_field  # type: ignore[attr-defined]
    assert copy.copy(stored).name == "docs"
