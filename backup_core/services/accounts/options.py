"""From a stored client, and what was measured of its server, to the options of a connection."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backup_core.config.secrets import resolve_secret
from backup_core.storage.options import BackendOptions
from backup_core.storage.retry import RetryPolicy
from backup_core.types import Secret

if TYPE_CHECKING:
    from backup_core.config.clients import ClientConfig

_FIELD_NAMES = {
    "password": "the password",
    "token": "the token",
    "client_key_password": "the password of the client certificate",
    "proxy_password": "the password of the proxy",
}


def backend_options(
    client: ClientConfig,
    *,
    measured: Mapping[str, Any] | None = None,
    patience: float | None = None,
    secrets: bool = True,
) -> BackendOptions:
    """The options of a connection to the client's server. What the client says counts more than what was ``measured``
    (``storage.probe_report.ProbeReport.record()``), and that more than the profile. ``patience`` is how many seconds a
    failing request is tried again, None what the client says. Without ``secrets`` none is looked up, for who only wants
    to know the limits.

    Raises ``ConfigError`` for a secret that cannot be had.
    """
    found = measured or {}
    secret = secret_of if secrets else _no_secret
    return BackendOptions(
        service_type=client.service_type,
        auth=client.auth,
        token=secret(client, "token"),
        verify=client.verify,
        ca_bundle=_path(client.ca_bundle),
        client_cert=_path(client.client_cert),
        client_key=_path(client.client_key),
        client_key_password=secret(client, "client_key_password"),
        proxy=client.proxy,
        proxy_username=client.proxy_username,
        proxy_password=secret(client, "proxy_password"),
        allow_insecure=client.allow_insecure,
        retry=_policy(client, patience),
        connect_timeout=client.connect_timeout,
        stall_timeout=client.timeout,
        reply_timeout=client.reply_timeout,
        atomic_put=_first(client.atomic_put, found.get("atomic_put")),
        max_object_size=_first(client.max_object_size, found.get("max_object_size")),
        parallel_requests=client.parallel_requests,
        preferred_pack_size=client.preferred_pack_size,
        page_size=_first(client.page_size, found.get("page_size")),
        window_requests=client.window_requests,
        window_seconds=client.window_seconds,
        storage_options=dict(client.storage_options),
    )


def secret_of(client: ClientConfig, field: str) -> Secret | None:
    """One of the client's secrets, None when it has none such. Raises ``ConfigError`` when it cannot be had."""
    source = getattr(client, field)
    if source is None:
        return None
    return resolve_secret(source, what=f"{_FIELD_NAMES[field]} of client {client.name!r}")


def _no_secret(client: ClientConfig, field: str) -> None:
    """In the place of ``secret_of``, for options without secrets."""


def _policy(client: ClientConfig, patience: float | None) -> RetryPolicy:
    usual = RetryPolicy()
    if patience is not None:
        return RetryPolicy(deadline=patience, deadline_before_first_answer=patience)
    return RetryPolicy(
        deadline=client.retry_seconds,
        deadline_before_first_answer=min(client.retry_seconds, usual.deadline_before_first_answer),
    )


def _path(text: str | None) -> Path | None:
    return Path(text).expanduser() if text else None


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)
