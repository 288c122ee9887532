"""Changes of the catalogue's schema, oldest first, as Alembic revisions in ``versions``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Connection

HEAD = "accounts_and_recovery"
"""The revision that this program's ``models`` describe."""


def upgrade(connection: Connection) -> None:
    """Bring the schema to ``HEAD`` within the transaction that ``connection`` is in."""
    import logging
    from pathlib import Path

    from alembic import command
    from alembic.config import Config

    # What Alembic tells of every step belongs into no program's log but Alembic's own.
    log = logging.getLogger("alembic")
    if log.level == logging.NOTSET:
        log.setLevel(logging.WARNING)
    settings = Config()
    settings.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    settings.attributes["connection"] = connection
    command.upgrade(settings, HEAD)
