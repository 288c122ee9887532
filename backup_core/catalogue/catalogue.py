"""The catalogue as one object: a part for each kind of fact.

Parts that most commands do without are loaded when they are first used: each table costs its share of a start.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from backup_core.catalogue.history import History
from backup_core.catalogue.manifests import Manifests
from backup_core.catalogue.setups import Setups
from backup_core.catalogue.statements import Store

if TYPE_CHECKING:
    from backup_core.catalogue.accounts import Accounts
    from backup_core.catalogue.disasters import RecoveryRuns
    from backup_core.catalogue.evidence import Evidence
    from backup_core.catalogue.plans import Plans
    from backup_core.catalogue.readings import Readings
    from backup_core.catalogue.restores import Restores
    from backup_core.catalogue.retention import Holds, Pins
    from backup_core.catalogue.transfer import Transfer


class Catalogue:
    """An open catalogue. Safe between threads and processes."""

    def __init__(self, database: Store) -> None:
        self._database = database
        self.setups = Setups(database)
        self.history = History(database)
        self.manifests = Manifests(database)

    @cached_property
    def accounts(self) -> Accounts:
        """What is shared by all who use one account on a server."""
        from backup_core.catalogue.accounts import Accounts

        return Accounts(self._database)

    @cached_property
    def restores(self) -> Restores:
        """Restore sessions."""
        from backup_core.catalogue.restores import Restores

        return Restores(self._database)

    @cached_property
    def plans(self) -> Plans:
        """Disaster-recovery plans."""
        from backup_core.catalogue.plans import Plans

        return Plans(self._database)

    @cached_property
    def recoveries(self) -> RecoveryRuns:
        """Drills and executions of plans."""
        from backup_core.catalogue.disasters import RecoveryRuns

        return RecoveryRuns(self._database)

    @cached_property
    def evidence(self) -> Evidence:
        """What became of backups that are gone."""
        from backup_core.catalogue.evidence import Evidence

        return Evidence(self._database)

    @cached_property
    def transfer(self) -> Transfer:
        """Rows as plain values, carried from one catalogue to another."""
        from backup_core.catalogue.transfer import Transfer

        return Transfer(self._database)

    @cached_property
    def pins(self) -> Pins:
        """Backups that people pinned."""
        from backup_core.catalogue.retention import Pins

        return Pins(self._database)

    @cached_property
    def holds(self) -> Holds:
        """Runs that looked wrong."""
        from backup_core.catalogue.retention import Holds

        return Holds(self._database)

    @cached_property
    def readings(self) -> Readings:
        """Measurements over time."""
        from backup_core.catalogue.readings import Readings

        return Readings(self._database)

    @property
    def shared(self) -> bool:
        """Whether other machines may use it too."""
        return self._database.shared

    @property
    def location(self) -> str:
        """Where it is, for people; without a password."""
        return self._database.location

    def integrity(self) -> list[str]:
        """What the database finds wrong with its own file; empty when nothing."""
        return self._database.integrity()

    def close(self) -> None:
        """Give back all connections."""
        self._database.close()
