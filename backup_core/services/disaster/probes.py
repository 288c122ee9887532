"""Asking restored services whether they work. Each function says what is wrong, "" when nothing is."""

from __future__ import annotations

import http.client
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import HTTPRedirectHandler, Request, build_opener

_STEPS_BETWEEN_LOOKS = 10_000


class _NoRedirects(HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        """An answer that points elsewhere is judged as it is."""


def ask(url: str, *, status: int, contains: str, timeout: float, most: int) -> str:
    """GET an address. ``most`` is how many bytes of the answer are looked at."""
    request = Request(url, headers={"User-Agent": "davault", "Accept": "*/*"})  # noqa: S310  # only http and https
    try:
        with build_opener(_NoRedirects).open(request, timeout=timeout) as answer:
            found, body = answer.status, answer.read(most)
    except HTTPError as error:
        with error:
            found, body = error.code, error.read(most)
    except (URLError, OSError, http.client.HTTPException) as error:
        reason = error.reason if isinstance(error, URLError) else error
        return f"it does not answer: {reason}"
    if found != status:
        return f"it answers with status {found} instead of {status}"
    if contains and contains.encode() not in body:
        return f"the answer does not hold {contains!r}"
    return ""


def ask_sqlite(path: Path, query: str, *, expect: str | None, stop: Callable[[], bool]) -> str:
    """Run a query on an SQLite file without changing it; ``stop`` is asked now and then whether to give up."""
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as connection:
            connection.set_progress_handler(lambda: int(stop()), _STEPS_BETWEEN_LOOKS)
            row = connection.execute(query).fetchone()
    except sqlite3.Error as error:
        return "it took too long" if stop() else f"the database says: {error}"
    first = None if row is None else row[0]
    return unexpected(None if row is None else str(first), expect)


def unexpected(found: str | None, expect: str | None) -> str:
    """What is wrong with the answer of a query, "" when nothing is."""
    if found is None:
        return "the query gave no row"
    if expect is not None and found.strip() != expect:
        return f"the query gave {found.strip()[:200]!r} instead of {expect!r}"
    return ""
