"""The parts of the catalogue that a record carries besides configurations.

Loaded when a record is written or read: it needs every kind of row there is.
"""

from __future__ import annotations

from backup_core.catalogue.disaster_rows import PlanEventRow, PlanRow, RecoveryRunRow, RecoveryStepRow
from backup_core.catalogue.evidence_rows import GoneSnapshotRow
from backup_core.catalogue.reading_rows import StorageReadingRow
from backup_core.catalogue.restore_rows import RestoreSessionRow
from backup_core.catalogue.retention_rows import HoldRow, PinRow
from backup_core.catalogue.rows import RunRow, ValidationRow
from backup_core.catalogue.transfer import CarriedTable
from backup_core.services.run_records.area_names import BY_CONFIGURATION, BY_REPOSITORY, GONE, HOLDS, PINS

TABLES: dict[str, CarriedTable] = {
    "runs": CarriedTable(
        RunRow,
        identity=("kind", "configuration", "started_at", "hostname"),
        newest_first="started_at",
        owner=BY_CONFIGURATION,
        most=500,
        ended="ended_at",
        shortened={"problems": 20},
    ),
    "validations": CarriedTable(
        ValidationRow,
        identity=("snapshot_id", "depth", "started_at"),
        newest_first="started_at",
        owner=BY_CONFIGURATION,
        most=500,
        shortened={"errors": 20, "warnings": 5},
    ),
    "storage_readings": CarriedTable(
        StorageReadingRow,
        identity=("configuration", "repository_id", "at"),
        newest_first="at",
        owner=BY_CONFIGURATION,
        most=400,
    ),
    "restores": CarriedTable(
        RestoreSessionRow,
        identity=("session_id",),
        newest_first="started_at",
        owner=BY_CONFIGURATION,
        most=200,
        ended="ended_at",
        shortened={"errors": 20},
    ),
    "dr_plans": CarriedTable(PlanRow, identity=("plan_id",), newest_first="created_at"),
    "dr_events": CarriedTable(PlanEventRow, identity=("plan_id", "kind", "at"), newest_first="at", most=300),
    "dr_runs": CarriedTable(
        RecoveryRunRow, identity=("run_id",), newest_first="started_at", most=300, ended="ended_at"
    ),
    "dr_steps": CarriedTable(
        RecoveryStepRow, identity=("run_id", "name"), newest_first="id", most=2000, shortened={"acts": 20}
    ),
    GONE: CarriedTable(GoneSnapshotRow, identity=("snapshot_id",), newest_first="at", owner=BY_REPOSITORY, most=2000),
    PINS: CarriedTable(PinRow, identity=("snapshot_id",), newest_first="pinned_at", owner=BY_REPOSITORY),
    HOLDS: CarriedTable(HoldRow, identity=("snapshot_id",), newest_first="begun_at", owner=BY_REPOSITORY, most=200),
}
"""Name in the record -> what it carries."""
