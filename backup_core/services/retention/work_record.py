"""Recording cleanups and prunes among the runs of the catalogue."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import field
from typing import TYPE_CHECKING, Any

from backup_core.catalogue.rows import RunRow
from backup_core.deferred import dataclass
from backup_core.errors import Cancelled, CatalogueError
from backup_core.repository.options import default_hostname
from backup_core.results import Outcome

if TYPE_CHECKING:
    from backup_core.services.backup_service import BackupService

_LOG = logging.getLogger(__name__)


@dataclass
class WorkRecord:
    """What the work puts down while it goes on; kept when it ends, however it does."""

    figures: dict[str, Any] = field(default_factory=dict)
    requests: dict[str, int] = field(default_factory=dict)


@contextmanager
def recorded(service: BackupService, kind: str, config_name: str) -> Iterator[WorkRecord]:
    """A run of this kind ("cleanup", "prune") in the catalogue, from the beginning of the block to its end.

    That the end cannot be recorded does not undo what was done, nor hide how it failed.
    """
    history = service.catalogue.history
    number = history.begin_run(
        RunRow(
            kind=kind,
            configuration=config_name,
            started_at=service.clock.now(),
            hostname=default_hostname(),
            pid=os.getpid(),
        )
    )
    record = WorkRecord()
    outcome, why = Outcome.COMPLETED, ""
    try:
        yield record
    except BaseException as error:
        outcome = Outcome.CANCELLED if isinstance(error, (Cancelled, KeyboardInterrupt)) else Outcome.FAILED
        why = str(error)
        raise
    finally:
        try:
            history.end_run(
                number,
                ended_at=service.clock.now(),
                outcome=outcome.value,
                error=why,
                figures=record.figures,
                requests=record.requests,
            )
        except CatalogueError as error:
            _LOG.error("the end of the %s of %s could not be recorded: %s", kind, config_name, error)
