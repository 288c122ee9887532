"""What the parts of a record are called, and whose they are."""

from __future__ import annotations

BY_CONFIGURATION = "configuration"
"""Owner column of tables whose rows belong to a configuration."""
BY_REPOSITORY = "repository_id"
"""Owner column of tables whose rows belong to a repository."""

GONE = "gone_snapshots"
"""The area that says which backups were forgotten; other installations look here before they call one vanished."""
PINS = "pins"
HOLDS = "holds"
"""The areas that say what must stay; cleanups of other installations heed them."""

WAITING = frozenset({"storage_readings"})
"""Areas that every run adds to: they travel with the next record, and are no reason to write one."""
