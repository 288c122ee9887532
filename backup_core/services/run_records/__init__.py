"""What this program keeps in a repository about itself, so that the catalogue can be lost.

Snapshots tell which backups there are. What they do not tell - configurations (with references to secrets, never
secrets), the account's settings, run history, validations, restores, disaster-recovery plans, which backups were
forgotten on purpose - is kept as one small sealed record for each installation and repository
(``repository.sealed_records``), from which ``services.home_recovery`` rebuilds everything.

``RecordKeeper.keep`` writes it: at most once a run, after the snapshot, and only when something has changed that no
snapshot tells. A run that stored nothing new costs no request; its place in the history is carried by the next
record. That a record cannot be written never makes a run fail: it is a problem of the run.

**To have another part of the catalogue carried along**, add an entry to ``areas.TABLES``: a name that is never reused,
and a ``catalogue.transfer.CarriedTable`` for its rows. Rows travel as plain values; a reader of another version takes
what it knows. Rows must hold no secret. What has to be on the server at once, such as a new recovery plan, is brought
there by ``Application.records.keep(configuration)``.
"""

from __future__ import annotations

from backup_core.services.run_records.history_rows import run_fields, run_record, stored_problems

__all__ = ["run_fields", "run_record", "stored_problems"]
