"""Whether a home's Prefect server answers, seen from outside of it."""

from __future__ import annotations

import json
from contextlib import suppress
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

from backup_core.config.home import Home
from backup_core.deferred import dataclass

_TIMEOUT = 5.0
_OPEN = build_opener(ProxyHandler({})).open


@dataclass(frozen=True, slots=True)
class Pages:
    """The web pages of a control room."""

    url: str
    """Where they are, or were last; "" when there never were any."""
    answers: bool


def find_pages(home: Home) -> Pages:
    """Those of ``home``."""
    url = ""
    with suppress(OSError, ValueError, KeyError, TypeError):
        url = str(json.loads((home.root / "servers" / "prefect-server.json").read_text())["url"])
    return Pages(url, bool(url) and _answers(f"{url}/api/health"))


def _answers(url: str) -> bool:
    try:
        with _OPEN(url, timeout=_TIMEOUT) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False
