"""Measuring the server of a client, and remembering what was found for all later connections."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from backup_core.config.clients import ClientConfig
from backup_core.config.sizes import parse_size
from backup_core.errors import ConfigError
from backup_core.progress import CancelToken
from backup_core.services.findings import Measurement
from backup_core.storage.probe_report import Measurable, ProbeOptions
from backup_core.storage.request_ledger import Priority

if TYPE_CHECKING:
    from backup_core.services.webdav_service import WebDAVService

_FOLDER = "davault-probe"
"""Always the same, because some servers do not delete folders at the top: at most one empty one stays there."""
_PATIENCE = 30.0
"""Seconds that a failing request is tried again: whoever measures wants to know how the server is now."""
_AT_ONCE = 2
"""Connections: one uploads while the other looks what can be seen of it."""
_SHARE_OF_TRAFFIC = 0.02
"""Of what is left of the month, the most that the largest object may take."""


def measure_client(
    webdav: WebDAVService,
    name: str,
    *,
    size: str | int = "8M",
    entries: int = 10,
    cancel: CancelToken | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Measurement:
    """Measure the server of a client in a folder of its own, which is removed again, and remember the outcome.

    ``size`` is the largest object to store (it measures the speed), ``entries`` how many objects to list; where the
    month's traffic is capped, no more than a small part of it is spent. Requests are taken from the account's window
    as all others are. Raises ``StorageError``, and ``ConfigError`` for storage that there is nothing to measure of.
    """
    client = webdav.configuration(name)
    options = ProbeOptions(
        size=_within_traffic(webdav, client, _bytes(size)),
        entries=_positive(entries),
        folder=_FOLDER,
    )
    with webdav.opened(
        name,
        cancel=cancel,
        on_wait=say,
        patience=_PATIENCE,
        priority=Priority.VALIDATION,
        adjust=lambda given: replace(
            given, parallel_requests=max(_AT_ONCE, given.parallel_requests or _AT_ONCE), atomic_put=None, page_size=None
        ),
    ) as backend:
        if not isinstance(backend, Measurable):
            raise ConfigError(f"client {name!r} is no WebDAV server: there is nothing to measure")
        report = backend.measure(options, cancel=cancel, say=say)
    return webdav.accounts.remember_probe(client, report.record())


def _within_traffic(webdav: WebDAVService, client: ClientConfig, size: int) -> int:
    left = webdav.accounts.traffic_left(client)
    caps = [int(n * _SHARE_OF_TRAFFIC) for n in (left.up, left.down) if n is not None]
    return max(min([size, *caps]), 64 * 1024)


def _bytes(size: str | int) -> int:
    try:
        return _positive(parse_size(size))
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _positive(number: int) -> int:
    if number < 1:
        raise ConfigError(f"{number} is too small to measure anything with")
    return number
