"""The first schema: clients, configurations, runs, manifests, validations, restores, recovery plans, settings."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from backup_core.catalogue.columns import Document, Moment, PrintableText

revision = "initial"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make all tables."""
    _set_up_by_people()
    _runs()
    _manifests()
    _validations()
    _restore_sessions()
    _recovery_plans()


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.String(), nullable=False)


def _printable(name: str) -> sa.Column[str]:
    return sa.Column(name, PrintableText(), nullable=False)


def _document(name: str) -> sa.Column[object]:
    return sa.Column(name, Document(), nullable=False)


def _bytes(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=False)


def _count(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=False)


def _flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean(), nullable=False)


def _seconds(name: str) -> sa.Column[float]:
    return sa.Column(name, sa.Float(), nullable=False)


def _moment(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, Moment(), nullable=nullable)


def _key(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.String(), primary_key=True, nullable=False)


def _number() -> sa.Column[int]:
    return sa.Column("id", sa.Integer(), primary_key=True, nullable=False)


def _index(table: str, *columns: str) -> None:
    for column in columns:
        op.create_index(f"ix_{table}_{column}", table, [column])


def _set_up_by_people() -> None:
    op.create_table("client", _key("name"), _document("record"), _moment("created_at"), _moment("updated_at"))
    op.create_table(
        "configuration",
        _key("name"),
        _text("client"),
        _text("target_path"),
        _document("record"),
        _moment("created_at"),
        _moment("updated_at"),
    )
    _index("configuration", "client")
    op.create_table("setting", _key("key"), _document("value"))


def _runs() -> None:
    op.create_table(
        "run",
        _number(),
        _text("kind"),
        _text("configuration"),
        _text("backup_type"),
        _text("backup_id"),
        _text("snapshot_id"),
        _moment("started_at"),
        _moment("ended_at", nullable=True),
        _text("outcome"),
        _printable("error"),
        _text("hostname"),
        _count("pid"),
        _document("figures"),
        _document("requests"),
        _document("seconds_by_stage"),
        _document("problems"),
    )
    _index("run", "configuration", "started_at")


def _manifests() -> None:
    op.create_table(
        "manifest",
        _key("snapshot_id"),
        _text("repository_id"),
        _printable("backup_id"),
        _printable("configuration"),
        _text("backup_type"),
        _moment("created_at"),
        _bytes("files"),
        _bytes("directories"),
        _bytes("total_size"),
        _bytes("data_added"),
        _bytes("stored_size"),
        _printable("parent"),
        _printable("hostname"),
        _document("paths"),
        _flag("encrypted"),
        _count("problems"),
    )
    _index("manifest", "repository_id", "backup_id", "configuration", "created_at")


def _validations() -> None:
    op.create_table(
        "validation",
        _number(),
        _text("backup_id"),
        _text("snapshot_id"),
        _text("configuration"),
        _text("depth"),
        _moment("started_at"),
        _seconds("seconds"),
        _flag("is_valid"),
        _bytes("files_checked"),
        _bytes("files_passed"),
        _count("packs_checked"),
        _bytes("bytes_read"),
        _document("errors"),
        _document("warnings"),
        _document("requests"),
    )
    _index("validation", "snapshot_id", "configuration")


def _restore_sessions() -> None:
    op.create_table(
        "restore_session",
        _key("session_id"),
        _text("configuration"),
        _text("backup_id"),
        _text("snapshot_id"),
        _printable("target"),
        _document("options"),
        _text("plan_id"),
        _text("status"),
        _text("phase"),
        _bytes("files_total"),
        _bytes("files_done"),
        _bytes("bytes_total"),
        _bytes("bytes_done"),
        _seconds("rate"),
        sa.Column("eta", sa.Float(), nullable=True),
        _printable("current_path"),
        _printable("message"),
        _printable("error"),
        _document("errors"),
        _document("figures"),
        _flag("cancel_requested"),
        _text("hostname"),
        _count("pid"),
        _moment("started_at"),
        _moment("updated_at"),
        _moment("ended_at", nullable=True),
    )
    _index("restore_session", "configuration", "plan_id", "started_at")


def _recovery_plans() -> None:
    op.create_table("dr_plan", _key("plan_id"), _text("name"), _document("record"), _moment("created_at"))
    op.create_table(
        "dr_event",
        _number(),
        _text("plan_id"),
        _text("kind"),
        _moment("at"),
        _flag("passed"),
        _document("report"),
    )
    _index("dr_event", "plan_id")


def downgrade() -> None:
    """There is nothing before the first schema."""
    for table in (
        "dr_event",
        "dr_plan",
        "restore_session",
        "validation",
        "manifest",
        "run",
        "setting",
        "configuration",
        "client",
    ):
        op.drop_table(table)
