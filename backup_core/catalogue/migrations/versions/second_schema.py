"""The second schema: accounts, retention, recovery and their histories.

One private function for each subject, called from ``upgrade``.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from backup_core.catalogue.columns import Document, Moment, PrintableText

revision = "accounts_and_recovery"
down_revision = "initial"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables and columns."""
    _accounts()
    _evidence()
    _recovery_runs()
    _retention()
    _readings()


def _accounts() -> None:
    """Windows of requests, traffic and measurements (``account_models``)."""
    op.create_table(
        "account",
        sa.Column("key", sa.String(), primary_key=True, nullable=False),
        sa.Column("shown", PrintableText(), nullable=False),
        sa.Column("blocked_until", sa.Float(), nullable=False),
    )
    op.create_table(
        "request_batch",
        sa.Column("number", sa.Integer(), primary_key=True, nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("until", sa.Float(), nullable=False),
    )
    op.create_index("ix_request_batch_account", "request_batch", ["account"])
    op.create_table(
        "traffic",
        sa.Column("account", sa.String(), primary_key=True, nullable=False),
        sa.Column("month", sa.String(), primary_key=True, nullable=False),
        sa.Column("bytes_up", sa.BigInteger(), nullable=False),
        sa.Column("bytes_down", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "probe",
        sa.Column("client", sa.String(), primary_key=True, nullable=False),
        sa.Column("url", sa.String(), nullable=False),
        sa.Column("measured_at", Moment(), nullable=False),
        sa.Column("record", Document(), nullable=False),
    )


def _evidence() -> None:
    """What became of snapshots that are gone (``evidence_models``)."""
    op.create_table(
        "gone_snapshot",
        sa.Column("snapshot_id", sa.String(), primary_key=True, nullable=False),
        sa.Column("repository_id", sa.String(), nullable=False),
        sa.Column("backup_id", PrintableText(), nullable=False),
        sa.Column("configuration", PrintableText(), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("fate", sa.String(), nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.Column("hostname", sa.String(), nullable=False),
        sa.Column("reason", PrintableText(), nullable=False),
    )
    for column in ("repository_id", "configuration", "fate"):
        op.create_index(f"ix_gone_snapshot_{column}", "gone_snapshot", [column])


def _recovery_runs() -> None:
    """Drills and executions of disaster-recovery plans (``disaster_models``)."""
    op.create_table(
        "dr_run",
        sa.Column("run_id", sa.String(), primary_key=True, nullable=False),
        sa.Column("plan_id", sa.String(), nullable=False),
        sa.Column("plan_name", PrintableText(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("plan", Document(), nullable=False),
        sa.Column("options", Document(), nullable=False),
        sa.Column("started_at", Moment(), nullable=False),
        sa.Column("ended_at", Moment(), nullable=True),
        *(sa.Column(name, sa.Float(), nullable=True) for name in ("rto_target", "rpo_target", "rto", "rpo")),
        sa.Column("scratch", PrintableText(), nullable=False),
        sa.Column("error", PrintableText(), nullable=False),
        sa.Column("notes", Document(), nullable=False),
        sa.Column("hostname", sa.String(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
    )
    for column in ("plan_id", "started_at"):
        op.create_index(f"ix_dr_run_{column}", "dr_run", [column])
    op.create_table(
        "dr_step",
        sa.Column("id", sa.Integer(), primary_key=True, nullable=False),
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("configuration", PrintableText(), nullable=False),
        *(sa.Column(name, sa.String(), nullable=False) for name in ("state", "stage", "snapshot_id", "session_id")),
        *(sa.Column(name, PrintableText(), nullable=False) for name in ("backup_id", "target", "error")),
        *(sa.Column(name, Moment(), nullable=True) for name in ("started_at", "ended_at")),
        *(sa.Column(name, sa.Float(), nullable=False) for name in ("seconds", "restore_seconds")),
        sa.Column("rpo", sa.Float(), nullable=True),
        *(
            sa.Column(name, sa.BigInteger(), nullable=False)
            for name in ("files_total", "files_restored", "bytes_restored")
        ),
        *(sa.Column(name, Document(), nullable=False) for name in ("lost", "acts")),
    )
    op.create_index("ix_dr_step_run_id", "dr_step", ["run_id"])


def _retention() -> None:
    """What stays (``retention_models``), and the tags by which it may be chosen."""
    op.add_column("manifest", sa.Column("tags", Document(), nullable=False, server_default="[]"))
    op.create_table(
        "pin",
        sa.Column("snapshot_id", sa.String(), primary_key=True, nullable=False),
        sa.Column("repository_id", sa.String(), nullable=False),
        sa.Column("backup_id", PrintableText(), nullable=False),
        sa.Column("configuration", PrintableText(), nullable=False),
        sa.Column("reason", PrintableText(), nullable=False),
        sa.Column("hold", sa.String(), nullable=False),
        sa.Column("pinned_at", Moment(), nullable=False),
    )
    op.create_index("ix_pin_repository_id", "pin", ["repository_id"])
    op.create_table(
        "hold",
        sa.Column("snapshot_id", sa.String(), primary_key=True, nullable=False),
        sa.Column("repository_id", sa.String(), nullable=False),
        sa.Column("backup_id", PrintableText(), nullable=False),
        sa.Column("configuration", PrintableText(), nullable=False),
        sa.Column("good_snapshot_id", sa.String(), nullable=False),
        sa.Column("good_backup_id", PrintableText(), nullable=False),
        sa.Column("signs", Document(), nullable=False),
        sa.Column("begun_at", Moment(), nullable=False),
        sa.Column("released_at", Moment(), nullable=True),
        sa.Column("note", PrintableText(), nullable=False),
    )
    for column in ("repository_id", "configuration"):
        op.create_index(f"ix_hold_{column}", "hold", [column])


def _readings() -> None:
    """Measurements over time (``reading_models``)."""
    op.create_table(
        "storage_reading",
        sa.Column("id", sa.Integer(), primary_key=True, nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.Column("configuration", PrintableText(), nullable=False),
        sa.Column("repository_id", sa.String(), nullable=False),
        *(sa.Column(n, sa.BigInteger(), nullable=False) for n in ("stored_bytes", "kept_bytes", "newest_bytes")),
        sa.Column("backups", sa.Integer(), nullable=False),
    )
    for column in ("at", "configuration", "repository_id"):
        op.create_index(f"ix_storage_reading_{column}", "storage_reading", [column])
    op.create_table(
        "space_reading",
        sa.Column("id", sa.Integer(), primary_key=True, nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.Column("client", PrintableText(), nullable=False),
        sa.Column("used", sa.BigInteger(), nullable=True),
        sa.Column("available", sa.BigInteger(), nullable=True),
    )
    for column in ("at", "client"):
        op.create_index(f"ix_space_reading_{column}", "space_reading", [column])


def downgrade() -> None:
    """Remove what ``upgrade`` added."""
    op.drop_table("space_reading")
    op.drop_table("storage_reading")
    op.drop_table("hold")
    op.drop_table("pin")
    op.drop_column("manifest", "tags")
    op.drop_table("dr_step")
    op.drop_table("dr_run")
    op.drop_table("gone_snapshot")
    for table in ("probe", "traffic", "request_batch", "account"):
        op.drop_table(table)
