"""The disposable SQL mirror of what lies on the servers, and the history of runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from backup_core.catalogue.catalogue import Catalogue

__all__ = ["open_catalogue"]


def open_catalogue(place: str | Path) -> Catalogue:
    """Open the catalogue at a path or SQLAlchemy URL, making or migrating it as needed (``CatalogueError``)."""
    from backup_core.catalogue.catalogue import Catalogue
    from backup_core.catalogue.sqlite_file import open_file

    file = open_file(place)
    if file is not None:
        return Catalogue(file)
    # Imported late: the database packages take a third of a second, and only what is unusual needs them.
    from backup_core.catalogue.database import open_database

    database = open_database(place)
    file = open_file(place)
    if file is None:
        return Catalogue(database)
    database.close()
    return Catalogue(file)
