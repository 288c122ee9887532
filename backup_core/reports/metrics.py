"""The figures of a report as Prometheus metrics, for a text file (node_exporter's textfile collector) or over HTTP.

Names follow the conventions of Prometheus ("Metric and label naming"): a prefix, base units, the unit at the end.
Unknown figures are left out. Every metric is read from the catalogue at the moment it is asked for.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, generate_latest, make_wsgi_app
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from backup_core.reports.records import ClientFigures, Figures
from backup_core.reports.report import Report

T = TypeVar("T", Figures, ClientFigures)
_CONFIGURATION_GAUGES: tuple[tuple[str, str, Callable[[Figures], float | None]], ...] = (
    ("davault_last_success_timestamp_seconds", "When the newest good backup began, seconds since 1970.",
     lambda f: f.newest_at.timestamp() if f.newest_at else None),
    ("davault_rpo_seconds", "How old the last good backup may be.", lambda f: f.rpo.total_seconds()),
    ("davault_rpo_met", "1 when the last good backup is young enough.", lambda f: float(f.rpo_met)),
    ("davault_backups", "Backups that are kept.", lambda f: f.backups),
    ("davault_stored_bytes", "Bytes on the server.", lambda f: f.stored_bytes),
    ("davault_kept_logical_bytes", "Logical bytes of all kept backups.", lambda f: f.kept_bytes),
    ("davault_newest_logical_bytes", "Logical bytes of the newest backup.", lambda f: f.newest_bytes),
    ("davault_deduplication_ratio", "Logical bytes kept per byte of content stored, before compression.",
     lambda f: f.dedup_ratio),
    ("davault_compression_ratio", "Bytes of new content per stored byte.", lambda f: f.compression_ratio),
    ("davault_growth_bytes_per_day", "Stored bytes a day, average of 30 days.", lambda f: f.growth_per_day),
    ("davault_runs_30d", "Backups of the last 30 days.", lambda f: f.runs),
    ("davault_failed_runs_30d", "Backups of the last 30 days that failed.", lambda f: f.failed_runs),
    ("davault_typical_run_seconds", "Median duration of good backups, 30 days.", lambda f: f.typical_seconds),
    ("davault_requests_30d", "Requests sent in the last 30 days.", lambda f: f.requests),
    ("davault_last_validation_timestamp_seconds", "When a backup was last validated, seconds since 1970.",
     lambda f: f.validated_at.timestamp() if f.validated_at else None),
    ("davault_last_validation_good", "1 when the last validation found no damage.",
     lambda f: None if f.validated_well is None else float(f.validated_well)),
)  # fmt: skip
_EPOCH_DAY = 719_163
"""``date(1970, 1, 1).toordinal()``"""


def _timestamp(client: ClientFigures) -> float | None:
    if client.room is None or client.room.likely is None:
        return None
    return (client.room.likely.toordinal() - _EPOCH_DAY) * 86_400.0


_CLIENT_GAUGES: tuple[tuple[str, str, Callable[[ClientFigures], float | None]], ...] = (
    ("davault_account_used_bytes", "Bytes used of the account, as its server last said.", lambda c: c.used_bytes),
    ("davault_account_available_bytes", "Bytes free, as its server last said.", lambda c: c.available_bytes),
    ("davault_account_full_timestamp_seconds", "When the account is most likely full, seconds since 1970 (UTC).",
     _timestamp),
    ("davault_account_window_requests", "Requests that the provider allows in one window.",
     lambda c: c.window_requests),
    ("davault_account_busiest_window_requests", "The most requests in one window, 30 days, about.",
     lambda c: c.busiest_requests if c.window_requests else None),
)  # fmt: skip


class ReportCollector(Collector):
    """Makes a report each time Prometheus asks."""

    def __init__(self, report: Callable[[], Report]) -> None:
        self._report = report
        self._lock = threading.Lock()

    def describe(self) -> Iterable[Metric]:
        """Nothing, so that no report is made before somebody asks."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """All metrics of this moment."""
        with self._lock:
            report = self._report()
        yield from _gauges(_CONFIGURATION_GAUGES, "configuration", report.configurations)
        yield from _gauges(_CLIENT_GAUGES, "client", report.clients)
        yield from _drills(report)
        attention = GaugeMetricFamily("davault_attention", "Things that ask for attention.", labels=["serious"])
        for serious in (True, False):
            count = sum(one.serious is serious for one in report.attention)
            attention.add_metric([str(serious).lower()], count)
        yield attention
        made = report.made_at.timestamp()
        yield GaugeMetricFamily("davault_report_timestamp_seconds", "When these figures were read.", value=made)


def _gauges(
    gauges: Iterable[tuple[str, str, Callable[[T], float | None]]], label: str, records: Sequence[T]
) -> Iterator[Metric]:
    for name, meaning, value_of in gauges:
        family = GaugeMetricFamily(name, meaning, labels=[label])
        for record in records:
            value = value_of(record)
            if value is not None:
                family.add_metric([record.name], value)
        yield family


def _drills(report: Report) -> Iterator[Metric]:
    drills = report.frames.drills
    last = drills[(drills["kind"] == "drill") & (drills["state"] != "running")].groupby("plan").tail(1)
    at = GaugeMetricFamily("davault_drill_timestamp_seconds", "When a plan was last drilled.", labels=["plan"])
    rto = GaugeMetricFamily("davault_drill_recovery_seconds", "How long recovery took in it.", labels=["plan"])
    met = GaugeMetricFamily("davault_drill_met", "1 when it kept what the plan promises.", labels=["plan"])
    for drill in last.to_dict("records"):
        at.add_metric([drill["plan"]], drill["started"].timestamp())
        met.add_metric([drill["plan"]], float(drill["met"]))
        if not math.isnan(drill["rto_seconds"]):
            rto.add_metric([drill["plan"]], drill["rto_seconds"])
    yield from (at, rto, met)


def metrics_text(report: Callable[[], Report]) -> bytes:
    """Everything in Prometheus' text format, UTF-8."""
    return generate_latest(_registry(report))


def _registry(report: Callable[[], Report]) -> CollectorRegistry:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(ReportCollector(report))
    return registry


class _QuietHandler(WSGIRequestHandler):
    """Without a line on stderr for each request."""

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def metrics_server(report: Callable[[], Report], *, host: str, port: int) -> WSGIServer:
    """An HTTP server that answers /metrics, listening already; call ``serve_forever``. Port 0 takes a free one.

    Raises ``OSError`` when the address cannot be listened at.
    """
    return make_server(host, port, make_wsgi_app(_registry(report)), handler_class=_QuietHandler)
