"""Everything that a stored client says reaches the connection, and nothing else does."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from backup_core.config.clients import ClientConfig
from backup_core.config.stored import SECRETS
from backup_core.errors import ConfigError
from backup_core.services.accounts.options import backend_options
from backup_core.services.webdav_service import WebDAVCredentials, WebDAVService
from backup_core.storage.options import BackendOptions
from backup_core.types import Secret

FULL = {
    "service_type": "nutstore-paid", "auth": "digest", "token": Secret("t"), "verify": False, "ca_bundle": "/ca.pem",
    "client_cert": "/me.pem", "client_key": "/me.key", "client_key_password": Secret("k"),
    "proxy": "http://proxy.example.org:3128", "proxy_username": "p", "proxy_password": Secret("x"),
    "allow_insecure": True, "connect_timeout": 9.0, "timeout": 99.0, "reply_timeout": 999.0, "retry_seconds": 5000.0,
    "atomic_put": True, "max_object_size": 7, "parallel_requests": 3, "preferred_pack_size": 5, "page_size": 11,
    "window_requests": 13, "window_seconds": 17.0, "storage_options": {"a": 1},
}  # fmt: skip


def client(**changes: object) -> ClientConfig:
    return ClientConfig(**{"name": "cloud", "url": "https://dav.example.org/dav/", "username": "me", **changes})


def test_every_option_of_a_connection_can_be_stored() -> None:
    plain, full = BackendOptions(), backend_options(client(**FULL))
    same = {f.name for f in fields(BackendOptions) if getattr(plain, f.name) == getattr(full, f.name)}
    assert same == set(), "these cannot be set from a stored client"
    assert (full.stall_timeout, full.reply_timeout, full.retry.deadline) == (99.0, 999.0, 5000.0)
    assert full.client_cert == Path("/me.pem")


def test_a_plain_client_leaves_the_numbers_to_the_profile() -> None:
    made = backend_options(client())
    for name in ("atomic_put", "max_object_size", "parallel_requests", "preferred_pack_size", "page_size",
                 "window_requests", "window_seconds"):  # fmt: skip
        assert getattr(made, name) is None


def test_what_was_measured_stands_between_the_client_and_the_profile() -> None:
    measured = {"atomic_put": True, "page_size": 500, "max_object_size": 9}
    assert backend_options(client(), measured=measured).page_size == 500
    assert backend_options(client(page_size=400, atomic_put=False), measured=measured).page_size == 400
    assert backend_options(client(atomic_put=False), measured=measured).atomic_put is False


def test_patience_overrules_the_clients() -> None:
    made = backend_options(client(retry_seconds=9000), patience=3.0).retry
    assert (made.deadline, made.deadline_before_first_answer) == (3.0, 3.0)
    assert backend_options(client(retry_seconds=10)).retry.deadline_before_first_answer == 10


def test_a_secret_that_cannot_be_had_names_what_it_is_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOWHERE", raising=False)
    made = client(proxy="http://proxy/", proxy_password="env:NOWHERE")
    with pytest.raises(ConfigError, match="the password of the proxy of client 'cloud' cannot be had from env:NOWHERE"):
        backend_options(made)


@pytest.mark.parametrize("field", SECRETS)
def test_no_secret_is_stored_or_shown(field: str) -> None:
    needed = {"client_key_password": {"client_cert": "/me.pem"}, "proxy_password": {"proxy": "http://proxy/"}}
    made = client(**{field: "hunter2", **needed.get(field, {})})
    assert getattr(made, field) == Secret("hunter2")
    assert made.record()[field] == "memory:"
    assert "hunter2" not in repr(made) + str(made.record())


def test_the_original_call_keeps_what_it_cannot_say() -> None:
    service = WebDAVService()
    service.register(client(upload_limit="2M", window_requests=300))
    credentials = WebDAVCredentials("me", "new password", "https://dav.example.org/dav/")
    service.add_client("cloud", credentials)
    kept = service.configuration("cloud")
    assert (kept.upload_limit, kept.window_requests, kept.password) == ("2M", 300, Secret("new password"))
    service.add_client("cloud", WebDAVCredentials("me", "x", "https://elsewhere.example.org/"))
    assert service.configuration("cloud").upload_limit == "", "another account is another client"


def test_editing_checks_the_whole() -> None:
    service = WebDAVService()
    service.register(client(client_cert="/me.pem", client_key="/me.key"))
    with pytest.raises(ConfigError, match="client_cert"):
        service.edit("cloud", {}, reset=["client_cert"])
    with pytest.raises(ConfigError, match="keeps its name"):
        service.edit("cloud", {"name": "other"})
    assert service.edit("cloud", {"page_size": 7}, reset=["client_key"]).page_size == 7
