"""Gathers what reports need, and keeps measurements in the catalogue."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from backup_core.errors import BackupError
from backup_core.progress import CancelToken
from backup_core.results import Problem, Severity
from backup_core.services.reporting.server_bytes import ServerBytes, count_files

if TYPE_CHECKING:
    from wsgiref.simple_server import WSGIServer

    from backup_core.catalogue.backups import KnownSpace
    from backup_core.reports.report import Promises, Report
    from backup_core.services.backup_service import BackupService

_LOG = logging.getLogger(__name__)
_PATIENCE = 10.0
"""Seconds for a server to say how much room it has: a report should not wait for one that is down."""


class Reporting:
    """Reports on everything in one catalogue. Only what says so asks a server."""

    def __init__(self, service: BackupService) -> None:
        self._service = service

    def report(self, *, budget_bytes: int | None = None) -> Report:
        """All figures as of now, from the catalogue. ``budget_bytes`` is what all backups together may
        take; see ``promises`` for what counts without it."""
        from backup_core.reports.frames import load_frames
        from backup_core.reports.report import build_report

        frames = load_frames(self._service.catalogue)
        return build_report(frames, now=self._service.clock.now(), promises=self.promises(budget_bytes))

    def html(self, report: Report) -> str:
        """A report as one HTML page that needs nothing else."""
        from backup_core.reports.page import html_page

        return html_page(report)

    def metrics(self) -> str:
        """The current figures in Prometheus' text format."""
        from backup_core.reports.metrics import metrics_text

        return metrics_text(self.report).decode("utf-8")

    def metrics_server(self, *, host: str, port: int) -> WSGIServer:
        """A server that answers /metrics with the figures of that moment, listening already; the caller serves.

        Raises ``OSError`` when the address cannot be listened at.
        """
        from backup_core.reports.metrics import metrics_server

        return metrics_server(self.report, host=host, port=port)

    def promises(self, budget_bytes: int | None = None) -> Promises:
        """What figures are held against, the same as alerts go by: how old each configuration's last backup may be (by
        the recovery plans, else the notification settings), the storage budget (that of the notification settings,
        unless another is given), and each account's window of requests."""
        from backup_core.reports.report import Promises
        from backup_core.services.disaster.plans import Plans
        from backup_core.services.health.objectives import longest_age
        from backup_core.services.notices import Notices

        service = self._service
        settings = Notices(service.catalogue, service.clock).settings
        plans = [kept.plan for kept in Plans(service.catalogue, service.clock).listed()]
        ages = {
            name: longest_age(name, plans, default=settings.no_backup_for) for name in service.configurations.names()
        }
        return Promises(
            budget_bytes=settings.storage_budget if budget_bytes is None else budget_bytes,
            rpo={name: timedelta(seconds=age) for name, age in ages.items()},
            windows=dict(self._windows()),
        )

    def _windows(self) -> Iterator[tuple[str, tuple[int, timedelta]]]:
        webdav = self._service.webdav_service
        for client in webdav.configurations():
            state = webdav.accounts.state(client)
            if state.window_requests and state.window_seconds:
                yield client.name, (state.window_requests, timedelta(seconds=state.window_seconds))

    def measure_space(self) -> list[Problem]:
        """Ask the server of every client that is in use how much room there is, and keep the answers; what could not be
        asked is told."""
        used = {config.target_client_id for config in self._service.configurations.all()}
        problems: list[Problem] = []
        for name in sorted(used):
            try:
                with self._service.webdav_service.opened(name, patience=_PATIENCE) as backend:
                    space = backend.space()
                self._service.webdav_service.note_space(name, space)
            except BackupError as error:
                _LOG.warning("%s was not asked for its room: %s", name, error)
                message = f"the server of {name!r} did not say how much room it has: {error}"
                problems.append(Problem("no-space-reading", message, severity=Severity.WARNING))
        return problems

    def last_spaces(self) -> list[KnownSpace]:
        """The newest reading of each client's room."""
        return self._service.catalogue.readings.last_spaces()

    def measure_repositories(
        self, config_name: str | None = None, *, cancel: CancelToken | None = None
    ) -> list[ServerBytes]:
        """List every file of the repository of a configuration, or of all repositories: some hundred requests each.

        Raises ``ConfigError``, ``StorageError``, ``Cancelled``.
        """
        service = self._service
        configs = service.configurations.all() if config_name is None else [service.configurations.get(config_name)]
        places: dict[tuple[str, str], list[str]] = {}
        for config in configs:
            places.setdefault((config.target_client_id, config.target_path), []).append(config.name)
        return [self._measured(client, path, names, cancel) for (client, path), names in places.items()]

    def _measured(self, client: str, path: str, names: Sequence[str], cancel: CancelToken | None) -> ServerBytes:
        token = cancel or CancelToken()
        with self._service.webdav_service.opened(client, path, cancel=token) as backend:
            sizes, counts, complete = count_files(backend, cancel=token)
            location = backend.location
        repository = self._service.known.repository_id(self._service.configurations.get(names[0]))
        return ServerBytes(
            location=location,
            configurations=tuple(names),
            bytes_by_part=sizes,
            files_by_part=counts,
            complete=complete,
            known_packs=None if repository is None else self._service.known.stored_size(repository),
        )
