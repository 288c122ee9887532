"""The tables of a Prefect server, made once: a server that begins with a copy of them saves eight seconds."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import prefect

KEPT = Path(__file__).resolve().parents[2] / ".cache" / f"prefect-{prefect.__version__}.db"


def begin_with(database: Path) -> None:
    """Have a server that is going to keep its database there begin with the tables, if any test has kept them."""
    if KEPT.exists():
        database.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.copy(KEPT, database)


def keep(database: Path) -> None:
    """Keep the tables of a server that has just started, and knows nothing yet."""
    if KEPT.exists():
        return
    KEPT.parent.mkdir(exist_ok=True)
    copy = KEPT.with_name(f"{KEPT.name}.{os.getpid()}")
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    copy.replace(KEPT)
