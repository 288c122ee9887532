"""Catalogues to share between the users of an account."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from backup_core.catalogue import open_catalogue
from backup_core.catalogue.catalogue import Catalogue


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Catalogue]:
    opened = open_catalogue(tmp_path / "catalogue.db")
    yield opened
    opened.close()
