"""The tables of accounts: their windows of requests, their traffic, and what was measured of their servers."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlmodel import Field

from backup_core.catalogue.columns import Bytes, Document, Moment, PrintableText
from backup_core.catalogue.models import Table


class AccountTable(Table, table=True):
    """``AccountRow`` as a table."""

    __tablename__ = "account"

    key: str = Field(primary_key=True)
    shown: str = Field(default="", sa_type=PrintableText)
    blocked_until: float = 0.0


class RequestBatchTable(Table, table=True):
    """``RequestBatchRow`` as a table."""

    __tablename__ = "request_batch"

    number: int | None = Field(default=None, primary_key=True)
    account: str = Field(index=True)
    count: int
    until: float


class TrafficTable(Table, table=True):
    """``TrafficRow`` as a table."""

    __tablename__ = "traffic"

    account: str = Field(primary_key=True)
    month: str = Field(primary_key=True)
    bytes_up: int = Field(default=0, sa_type=Bytes)
    bytes_down: int = Field(default=0, sa_type=Bytes)


class ProbeTable(Table, table=True):
    """``ProbeRow`` as a table."""

    __tablename__ = "probe"

    client: str = Field(primary_key=True)
    url: str
    measured_at: datetime = Field(sa_type=Moment)
    record: dict[str, Any] = Field(default_factory=dict, sa_type=Document)
