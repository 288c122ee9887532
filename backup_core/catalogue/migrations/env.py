"""What Alembic runs to migrate: the revisions, on the connection that ``upgrade`` was given."""

from __future__ import annotations

from alembic import context

from backup_core.catalogue.all_models import models

context.configure(connection=context.config.attributes["connection"], target_metadata=models.Table.metadata)
context.run_migrations()
