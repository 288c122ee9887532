"""What is known of accounts: their windows of requests, their traffic, and what was measured of their servers."""

from __future__ import annotations

from dataclasses import field
from datetime import datetime
from typing import Any, ClassVar

from backup_core.catalogue.row import Printable, Row
from backup_core.deferred import dataclass


@dataclass(kw_only=True)
class AccountRow(Row):
    """An account on a server, which several clients and machines may use."""

    TABLE: ClassVar = "account"
    KEY: ClassVar = ("key",)

    key: str
    """A digest of server and user name."""
    shown: Printable = ""
    """The same for people."""
    blocked_until: float = 0.0
    """Seconds since 1970: until then the provider refuses requests."""


@dataclass(kw_only=True)
class RequestBatchRow(Row):
    """Requests that somebody reserved of an account's window."""

    TABLE: ClassVar = "request_batch"
    KEY: ClassVar = ("number",)

    number: int | None = None
    account: str
    count: int
    until: float
    """Seconds since 1970; from then on they do not count any more."""


@dataclass(kw_only=True)
class TrafficRow(Row):
    """What an account sent and received in one calendar month of UTC."""

    TABLE: ClassVar = "traffic"
    KEY: ClassVar = ("account", "month")

    account: str
    month: str
    """YYYY-MM"""
    bytes_up: int = 0
    bytes_down: int = 0


@dataclass(kw_only=True)
class ProbeRow(Row):
    """The newest measurement of a client's server."""

    TABLE: ClassVar = "probe"
    KEY: ClassVar = ("client",)

    client: str
    url: str
    """The address that was measured; the client may have been given another since."""
    measured_at: datetime
    record: dict[str, Any] = field(default_factory=dict)
    """``storage.probe_report.ProbeReport.record()``."""
