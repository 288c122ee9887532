"""The tables of accounts: their windows of requests, their traffic, and what was measured of their servers."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlmodel import Field

from backup_core.catalogue.columns import Bytes, Document, Moment, PrintableText
from backup_core.catalogue.models import Row


class AccountRow(Row, table=True):
    """An account on a server, which several clients and machines may use."""

    __tablename__ = "account"

    key: str = Field(primary_key=True)
    """A digest of server and user name."""
    shown: str = Field(default="", sa_type=PrintableText)
    """The same for people."""
    blocked_until: float = 0.0
    """Seconds since 1970: until then the provider refuses requests."""


class RequestBatchRow(Row, table=True):
    """Requests that somebody reserved of an account's window."""

    __tablename__ = "request_batch"

    number: int | None = Field(default=None, primary_key=True)
    account: str = Field(index=True)
    count: int
    until: float
    """Seconds since 1970; from then on they do not count any more."""


class TrafficRow(Row, table=True):
    """What an account sent and received in one calendar month of UTC."""

    __tablename__ = "traffic"

    account: str = Field(primary_key=True)
    month: str = Field(primary_key=True)
    """YYYY-MM"""
    bytes_up: int = Field(default=0, sa_type=Bytes)
    bytes_down: int = Field(default=0, sa_type=Bytes)


class ProbeRow(Row, table=True):
    """The newest measurement of a client's server."""

    __tablename__ = "probe"

    client: str = Field(primary_key=True)
    url: str
    """The address that was measured; the client may have been given another since."""
    measured_at: datetime = Field(sa_type=Moment)
    record: dict[str, Any] = Field(default_factory=dict, sa_type=Document)
    """``storage.probe_report.ProbeReport.record()``."""
