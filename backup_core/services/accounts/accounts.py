"""The accounts behind the clients: their limits, shared by all that use them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from backup_core.clock import Clock
from backup_core.config.timetables import parse_timetable
from backup_core.deferred import dataclass
from backup_core.errors import ConfigError
from backup_core.services.accounts.forecast import (
    AccountForecast,
    TrafficLeft,
    finish,
    transfer_seconds,
    waiting_seconds,
)
from backup_core.services.accounts.identity import Account, account_of
from backup_core.services.accounts.ledger import DurableLedger
from backup_core.services.accounts.options import backend_options
from backup_core.services.accounts.traffic import TrafficMeter, month_of, next_month
from backup_core.storage.account import AccountUse
from backup_core.storage.bandwidth import Throttle, Throttles, Timetable
from backup_core.storage.request_ledger import MemoryLedger, Priority, RequestLedger, WindowUse, allowance
from backup_core.storage.webdav.profiles import Profile, profile_for

if TYPE_CHECKING:
    from backup_core.catalogue.accounts import Accounts as AccountTables
    from backup_core.config.clients import ClientConfig
    from backup_core.services.findings import Measurement


_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountState:
    """How much of its limits an account has used up, as far as this catalogue knows."""

    account: str
    """For people; "" for storage without one."""
    window_requests: int | None
    window_seconds: float | None
    use: WindowUse
    month: str
    """YYYY-MM, UTC"""
    bytes_up: int
    """In this month."""
    bytes_down: int
    left: TrafficLeft


class Accounts:
    """What is known of the accounts of all clients. Without a catalogue it is kept in memory, for this process."""

    def __init__(self, clock: Clock, *, tables: AccountTables | None = None) -> None:
        self._clock = clock
        self._tables = tables
        self._lock = threading.Lock()
        self._in_memory: dict[str, RequestLedger] = {}
        self._throttles: dict[tuple[str, str], Throttle] = {}
        self._limits: tuple[str | None, str | None] = (None, None)

    def limit_bandwidth(self, *, upload: str | None = None, download: str | None = None) -> None:
        """Overrule the limits of all clients for this process; None leaves a direction as the clients say.

        Raises ``ConfigError`` for text that is no timetable.
        """
        for text in filter(None, (upload, download)):
            _timetable(text)
        self._limits = (upload, download)

    @contextmanager
    def use_of(self, client: ClientConfig, *, priority: Priority) -> Iterator[AccountUse]:
        """The part in the use of a client's account that a connection has while the block runs."""
        account = account_of(client)
        throttles = self._throttles_of(client)
        if account is None:
            if any(self._limits):
                _LOG.warning("client %s is no WebDAV server: no limit of bandwidth holds there", client.name)
            yield AccountUse(priority=priority, throttles=throttles)
            return
        meter = TrafficMeter(self._tables, account.key, self._clock) if self._tables is not None else None
        ledger = self._ledger(account) if self._profile(client).window_requests is not None else None
        try:
            yield AccountUse(ledger=ledger, priority=priority, throttles=throttles, on_bytes=meter)
        finally:
            if meter is not None:
                meter.flush()

    def measured(self, client: ClientConfig) -> Mapping[str, Any] | None:
        """What the newest probe found out about the client's server, None when this address was never probed."""
        row = self._tables.probe(client.name) if self._tables is not None else None
        return row.record if row is not None and row.url == client.url else None

    def remember_probe(self, client: ClientConfig, record: dict[str, Any]) -> Measurement:
        """Keep what was measured of the client's server, for ``measured``."""
        now = self._clock.now()
        if self._tables is not None:
            self._tables.save_probe(client.name, client.url, record, now)
        return _measurement(client, now, record)

    def last_probe(self, client: ClientConfig) -> Measurement | None:
        """The newest measurement of the server at the client's present address, None when there is none."""
        row = self._tables.probe(client.name) if self._tables is not None else None
        if row is None or row.url != client.url:
            return None
        return _measurement(client, row.measured_at, row.record)

    def has_account(self, client: ClientConfig) -> bool:
        """True for a WebDAV server, where there is something to measure and to share."""
        return account_of(client) is not None

    def window_use(self, client: ClientConfig) -> WindowUse:
        """How much of the client's window of requests is in use at present, by anybody on this catalogue."""
        account = account_of(client)
        if account is None:
            return WindowUse()
        if self._tables is not None:
            return self._tables.known_ledger(account.key, clock=self._clock).use()
        with self._lock:
            ledger = self._in_memory.get(account.key)
        return WindowUse() if ledger is None else ledger.use()

    def traffic_left(self, client: ClientConfig) -> TrafficLeft:
        """What the client's account may still send and receive in this month, as far as this catalogue knows."""
        account, profile = account_of(client), self._profile(client)
        caps = (client.monthly_upload or profile.monthly_upload, client.monthly_download or profile.monthly_download)
        if account is None or caps == (None, None):
            return TrafficLeft()
        now = self._clock.now()
        up, down = self.traffic(client).get(month_of(now), (0, 0))
        return TrafficLeft(
            month=month_of(now),
            up=None if caps[0] is None else caps[0] - up,
            down=None if caps[1] is None else caps[1] - down,
            resets_at=next_month(now),
        )

    def traffic(self, client: ClientConfig) -> dict[str, tuple[int, int]]:
        """Bytes sent and received by the client's account, by month (YYYY-MM)."""
        account = account_of(client)
        if account is None or self._tables is None:
            return {}
        return {row.month: (row.bytes_up, row.bytes_down) for row in self._tables.traffic(account.key)}

    def state(self, client: ClientConfig) -> AccountState:
        """How much of its limits the client's account has used up."""
        account, profile, month = account_of(client), self._profile(client), month_of(self._clock.now())
        up, down = self.traffic(client).get(month, (0, 0))
        limited = profile.window_requests is not None
        return AccountState(
            account="" if account is None else account.shown,
            window_requests=profile.window_requests,
            window_seconds=profile.window_seconds if limited else None,
            use=self.window_use(client),
            month=month,
            bytes_up=up,
            bytes_down=down,
            left=self.traffic_left(client),
        )

    def forecast(
        self,
        client: ClientConfig,
        *,
        requests: int,
        bytes_up: int = 0,
        bytes_down: int = 0,
        priority: Priority = Priority.BACKUP,
    ) -> AccountForecast:
        """What sending so many requests and bytes will cost the client's account, if it begins now. Nothing is sent."""
        account, profile, now = account_of(client), self._profile(client), self._clock.now()
        allowed = None if profile.window_requests is None else allowance(profile.window_requests, priority)
        waiting, windows = 0.0, 0
        if allowed is not None:
            use = self.window_use(client)
            waiting = waiting_seconds(requests, allowed=allowed, seconds=profile.window_seconds, use=use)
            windows = -(-requests // allowed)
        transfer = self._transfer_seconds(client, bytes_up, bytes_down)
        left = self.traffic_left(client)
        over = (left.up is not None and bytes_up > left.up) or (left.down is not None and bytes_down > left.down)
        return AccountForecast(
            account="" if account is None else account.shown,
            requests=requests,
            bytes_up=bytes_up,
            bytes_down=bytes_down,
            window_requests=allowed,
            window_seconds=None if allowed is None else profile.window_seconds,
            windows=windows,
            waiting_seconds=waiting,
            transfer_seconds=transfer,
            finish_at=finish(now, waiting=waiting, transfer=transfer, windows=windows),
            upload_left=left.up,
            download_left=left.down,
            traffic_resets_at=left.resets_at,
            exceeds_traffic=over,
        )

    def _profile(self, client: ClientConfig) -> Profile:
        # Secrets are not needed to know the limits, and may not be at hand.
        return profile_for(backend_options(client, secrets=False))

    def _ledger(self, account: Account) -> RequestLedger:
        with self._lock:
            known = self._in_memory.get(account.key)
            if known is None:
                known = self._in_memory[account.key] = (
                    MemoryLedger(self._clock)
                    if self._tables is None
                    else DurableLedger(self._tables, account, self._clock)
                )
        return known

    def _timetables(self, client: ClientConfig) -> tuple[Timetable, Timetable]:
        up, down = self._limits
        return _timetable(client.upload_limit if up is None else up), _timetable(
            client.download_limit if down is None else down
        )

    def _throttles_of(self, client: ClientConfig) -> Throttles:
        """One throttle for all connections of this process to a client, so that they share its limit."""
        found: list[Throttle | None] = []
        for direction, timetable in zip(("up", "down"), self._timetables(client), strict=True):
            key = (client.name, f"{direction} {timetable}")
            with self._lock:
                found.append(
                    None if timetable.unlimited else self._throttles.setdefault(key, Throttle(timetable, self._clock))
                )
        return Throttles(up=found[0], down=found[1])

    def _transfer_seconds(self, client: ClientConfig, bytes_up: int, bytes_down: int) -> float | None:
        measured = self.measured(client) or {}
        seconds = [
            transfer_seconds(count, timetable, self._clock.now().astimezone(), measured=measured.get(rate))
            for count, timetable, rate in zip(
                (bytes_up, bytes_down), self._timetables(client), ("upload_rate", "download_rate"), strict=True
            )
            if count
        ]
        known = [s for s in seconds if s is not None]
        return sum(known) if len(known) == len(seconds) else None


def _measurement(client: ClientConfig, measured_at: datetime, record: dict[str, Any]) -> Measurement:
    from backup_core.services.findings import Measurement

    findings = tuple((f["check"], f["verdict"], f["detail"]) for f in record.get("findings", ()))
    numbers = {key: value for key, value in record.items() if key not in ("findings", "score")}
    return Measurement(client.name, client.url, measured_at, int(record.get("score", 0)), findings, numbers)


def _timetable(text: str) -> Timetable:
    try:
        return parse_timetable(text) if text.strip() else Timetable()
    except ValueError as error:
        raise ConfigError(f"{text!r} is no limit of bandwidth: {error}") from error
