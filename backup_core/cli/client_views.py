"""What ``davault client`` shows of a client and its account."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from backup_core.cli import units
from backup_core.cli.output import table

if TYPE_CHECKING:
    from backup_core.cli.plain_table import PlainTable
    from backup_core.config.models import ClientConfig
    from backup_core.services.accounts.accounts import AccountState
    from backup_core.services.findings import Measurement

_SHOWN_ALWAYS = ("name", "url", "username", "service_type")
_BYTES = frozenset({"max_object_size", "preferred_pack_size", "monthly_upload", "monthly_download"})
_SECONDS = frozenset({"timeout", "connect_timeout", "reply_timeout", "retry_seconds", "window_seconds"})


def client_document(client: ClientConfig) -> dict[str, Any]:
    """A client for ``--json``: where its secrets are, never the secrets."""
    from backup_core.config.stored import SECRETS

    record = client.record()
    return {f"{key}_source" if key in SECRETS else key: value for key, value in record.items()}


def client_facts(client: ClientConfig) -> list[tuple[str, str]]:
    """A client for people: what was set, without what is as usual."""
    from backup_core.config.stored import SECRETS

    usual = type(client).model_fields
    rows = []
    for key, value in client.record().items():
        field = usual[key]
        default = None if field.is_required() else field.get_default(call_default_factory=True)
        if key not in _SHOWN_ALWAYS and value in (default, None):
            continue
        name = f"{key} from" if key in SECRETS else key
        rows.append((name.replace("_", " "), _value(key, value)))
    return rows


def account_document(state: AccountState) -> dict[str, Any]:
    """The account's state for ``--json``."""
    return {
        "account": state.account,
        "window_requests": state.window_requests,
        "window_seconds": state.window_seconds,
        "requests_in_use": state.use.requests,
        "blocked_seconds": round(state.use.blocked_seconds, 1),
        "month": state.month,
        "bytes_up": state.bytes_up,
        "bytes_down": state.bytes_down,
        "upload_left": state.left.up,
        "download_left": state.left.down,
        "traffic_resets_at": units.timestamp(state.left.resets_at),
    }


def account_facts(state: AccountState) -> list[tuple[str, str]]:
    """The account's state for people."""
    if not state.account:
        return []
    rows = [("account", state.account)]
    if state.window_requests is not None and state.window_seconds is not None:
        free = max(state.window_requests - state.use.requests, 0)
        span = units.duration(state.window_seconds)
        rows.append(("requests free now", f"{free} of {state.window_requests} in {span}"))
    if state.use.blocked_seconds:
        rows.append(("blocked by provider", f"for {units.duration(state.use.blocked_seconds)} more"))
    rows.append((f"sent in {state.month}", _traffic(state.bytes_up, state.left.up)))
    rows.append((f"received in {state.month}", _traffic(state.bytes_down, state.left.down)))
    return rows


def measurement_document(measured: Measurement) -> dict[str, Any]:
    """What was measured of a server, for ``--json``."""
    rounded = {key: round(n, 4) if isinstance(n, float) else n for key, n in measured.numbers.items()}
    findings = [{"check": c, "verdict": verdict, "detail": detail} for c, verdict, detail in measured.findings]
    return {
        "measured_at": units.timestamp(measured.measured_at),
        "score": measured.score,
        **rounded,
        "findings": findings,
    }


def measurement_table(measured: Measurement) -> PlainTable:
    """The same as a table."""
    return table(("CHECK", "VERDICT", "SEEN"), measured.findings)


def _traffic(count: int, left: int | None) -> str:
    return units.size(count) if left is None else f"{units.size(count)}, {units.size(max(left, 0))} left"


def _value(key: str, value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if key in _BYTES and isinstance(value, int):
        return units.size(value)
    if key in _SECONDS and isinstance(value, (int, float)):
        return f"{value:g} s"
    return str(value) if value != "" else "-"
