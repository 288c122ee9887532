"""The Prefect server of one machine, without SQLite's rare refusals: ``python -m flows._prefect_server --host ...``

Prefect begins most of its transactions as readers. On SQLite one that reads first and then writes fails at once when
another has written meanwhile, however long the timeout (https://www.sqlite.org/lang_transaction.html). Prefect's own
clients hear "503 Service Unavailable" and try again, but its pages do not: a person who sends a run form while a run is
writing its events would be refused. Here they all begin as writers and wait for each other, as the catalogue's do.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from prefect.cli import app
from prefect.server.database.configurations import AioSqliteConfiguration

_begin = AioSqliteConfiguration.begin_transaction


@asynccontextmanager
async def _begin_as_writer(
    self: AioSqliteConfiguration,
    session: Any,
    with_for_update: bool = True,
) -> AsyncGenerator[Any, None]:
    async with _begin(self, session, with_for_update=True) as transaction:
        yield transaction


def begin_as_writers() -> None:
    """Let every transaction of this process's Prefect server on SQLite begin as a writer."""
    AioSqliteConfiguration.begin_transaction = _begin_as_writer  # type: ignore[method-assign]


if __name__ == "__main__":
    begin_as_writers()
    sys.argv[1:1] = ["server", "start"]
    app()
