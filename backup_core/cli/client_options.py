"""The options of ``davault client add`` and ``edit``: each field has the name of the client's field that it sets.

None leaves a field as it is. Sizes and bandwidths are passed on as they were typed.
"""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer

from backup_core.cli.frame import UsageError
from backup_core.cli.passwords import secret_reference
from backup_core.deferred import dataclass

_LIMITS = "Limits of the server (default: as the service type says)"
_BANDWIDTH = "Bandwidth and traffic"
_TRUST = "Login and trust"
_PATIENCE = "Patience"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountOptions:
    """Who we are, and how we show it."""

    username: Annotated[str | None, typer.Option("--username", metavar="U", help="The account's user name.")] = None
    password_env: Annotated[
        str | None, typer.Option("--password-env", metavar="VAR", help="Take the password from this variable.")
    ] = None
    password_file: Annotated[
        Path | None, typer.Option("--password-file", metavar="F", help="Take the password from this file's first line.")
    ] = None
    password: Annotated[
        str | None,
        typer.Option("--password-from", metavar="REF", help="env:NAME, file:PATH, keyring:SERVICE/USER, prefect:BLOCK"),
    ] = None
    token: Annotated[
        str | None,
        typer.Option("--token-from", metavar="REF", help="Send a bearer token instead.", rich_help_panel=_TRUST),
    ] = None
    auth: Annotated[
        str | None,
        typer.Option("--auth", metavar="A", help="auto (default), basic or digest.", rich_help_panel=_TRUST),
    ] = None
    client_cert: Annotated[
        Path | None,
        typer.Option("--client-cert", metavar="F", help="This client's certificate (PEM).", rich_help_panel=_TRUST),
    ] = None
    client_key: Annotated[
        Path | None,
        typer.Option("--client-key", metavar="F", help="Its key, if in a file of its own.", rich_help_panel=_TRUST),
    ] = None
    client_key_password: Annotated[
        str | None,
        typer.Option("--client-key-password-from", metavar="REF", help="Opens that key.", rich_help_panel=_TRUST),
    ] = None

    def changes(self) -> dict[str, Any]:
        """The fields that were given, by name. Raises ``UsageError`` for what cannot be stored."""
        reference = secret_reference(self.password_env, self.password_file, "--password-env", "--password-file")
        if reference is not None and self.password is not None:
            raise UsageError("--password-from excludes --password-env and --password-file")
        given = _given(self, without=("password_env", "password_file"))
        _require_references(given, ("password", "token", "client_key_password"))
        return given if reference is None else {**given, "password": reference}


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionOptions:
    """How the server is reached."""

    service_type: Annotated[
        str | None,
        typer.Option(
            "--service-type",
            metavar="T",
            help="generic, nutstore, nutstore-paid, nextcloud, owncloud or synology.",
        ),
    ] = None
    verify: Annotated[
        bool | None,
        typer.Option("--verify/--no-verify", help="Check the server's certificate.", rich_help_panel=_TRUST),
    ] = None
    ca_bundle: Annotated[
        Path | None,
        typer.Option("--ca-bundle", metavar="F", help="Trust these authorities instead.", rich_help_panel=_TRUST),
    ] = None
    allow_insecure: Annotated[
        bool | None,
        typer.Option(
            "--allow-insecure/--no-allow-insecure",
            help="Allow plain http to other machines, and --no-verify.",
            rich_help_panel=_TRUST,
        ),
    ] = None
    proxy: Annotated[
        str | None, typer.Option("--proxy", metavar="URL", help="Go through this proxy.", rich_help_panel=_TRUST)
    ] = None
    proxy_username: Annotated[
        str | None, typer.Option("--proxy-username", metavar="U", help="Its user name.", rich_help_panel=_TRUST)
    ] = None
    proxy_password: Annotated[
        str | None, typer.Option("--proxy-password-from", metavar="REF", help="Its password.", rich_help_panel=_TRUST)
    ] = None
    timeout: Annotated[
        float | None,
        typer.Option(
            "--timeout", metavar="S", help="Give a request up after so long a silence.", rich_help_panel=_PATIENCE
        ),
    ] = None
    connect_timeout: Annotated[
        float | None,
        typer.Option("--connect-timeout", metavar="S", help="Wait for a connection.", rich_help_panel=_PATIENCE),
    ] = None
    reply_timeout: Annotated[
        float | None,
        typer.Option("--reply-timeout", metavar="S", help="Wait for an answer.", rich_help_panel=_PATIENCE),
    ] = None
    retry_seconds: Annotated[
        float | None,
        typer.Option("--retry-seconds", metavar="S", help="Try a failing request again.", rich_help_panel=_PATIENCE),
    ] = None

    storage_options: Annotated[
        list[str] | None,
        typer.Option(
            "--storage-option",
            metavar="KEY=VALUE",
            help="For s3:// and the like, such as endpoint_url=https://…; repeatable.",
            rich_help_panel=_TRUST,
        ),
    ] = None

    def changes(self) -> dict[str, Any]:
        """The fields that were given, by name."""
        given = _given(self)
        _require_references(given, ("proxy_password",))
        if self.storage_options:
            given["storage_options"] = dict(_key_and_value(text) for text in self.storage_options)
        else:
            given.pop("storage_options", None)
        return given


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitOptions:
    """What the server and the line bear."""

    window_requests: Annotated[
        int | None,
        typer.Option("--window-requests", metavar="N", help="Requests in one window.", rich_help_panel=_LIMITS),
    ] = None
    window_seconds: Annotated[
        float | None,
        typer.Option("--window-seconds", metavar="S", help="Length of a window.", rich_help_panel=_LIMITS),
    ] = None
    page_size: Annotated[
        int | None,
        typer.Option("--page-size", metavar="N", help="Entries in one answer to a listing.", rich_help_panel=_LIMITS),
    ] = None
    max_object_size: Annotated[
        str | None,
        typer.Option("--max-object-size", metavar="SIZE", help="Largest object: 500M.", rich_help_panel=_LIMITS),
    ] = None
    parallel_requests: Annotated[
        int | None,
        typer.Option("--parallel-requests", metavar="N", help="Requests at the same time.", rich_help_panel=_LIMITS),
    ] = None
    preferred_pack_size: Annotated[
        str | None,
        typer.Option("--pack-size", metavar="SIZE", help="Size of a pack file.", rich_help_panel=_LIMITS),
    ] = None
    atomic_put: Annotated[
        bool | None,
        typer.Option(
            "--atomic-put/--no-atomic-put", help="Objects are never seen half written.", rich_help_panel=_LIMITS
        ),
    ] = None
    upload_limit: Annotated[
        str | None,
        typer.Option(
            "--limit-upload",
            metavar="RATE",
            help="2M, or 08:00-18:00=2M,else=unlimited.",
            rich_help_panel=_BANDWIDTH,
        ),
    ] = None
    download_limit: Annotated[
        str | None,
        typer.Option("--limit-download", metavar="RATE", help="The same for downloads.", rich_help_panel=_BANDWIDTH),
    ] = None
    monthly_upload: Annotated[
        str | None,
        typer.Option("--monthly-upload", metavar="SIZE", help="Traffic of a month.", rich_help_panel=_BANDWIDTH),
    ] = None
    monthly_download: Annotated[
        str | None,
        typer.Option("--monthly-download", metavar="SIZE", help="The same for downloads.", rich_help_panel=_BANDWIDTH),
    ] = None

    def changes(self) -> dict[str, Any]:
        """The fields that were given, by name."""
        return _given(self)


def _given(options: Any, *, without: tuple[str, ...] = ()) -> dict[str, Any]:
    values = {f.name: getattr(options, f.name) for f in fields(options) if f.name not in without}
    return {
        name: str(value.expanduser().absolute()) if isinstance(value, Path) else value
        for name, value in values.items()
        if value is not None
    }


def _key_and_value(text: str) -> tuple[str, Any]:
    """``KEY=VALUE``; what is JSON (a number, true, an object) is taken as that, everything else as text."""
    key, mark, value = text.partition("=")
    if not key or not mark:
        raise UsageError(f"--storage-option wants KEY=VALUE, not {text!r}")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value


def _require_references(given: dict[str, Any], names: tuple[str, ...]) -> None:
    from backup_core.config.secrets import is_reference

    for name in names:
        if name in given and not is_reference(given[name]):
            option = f"--{name.replace('_', '-')}-from"
            raise UsageError(f"{option} wants a reference such as env:NAME or file:PATH, never the secret itself")
