"""Settings of Prefect for a server of its own on this machine: one home, no telemetry, no call to the outside.

Plain data without any import of Prefect, which reads its settings when it is first imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

LOOPBACK = "127.0.0.1"
_PROXIES = ("no_proxy", "NO_PROXY")


def server_environment(home: Path, url: str, *, base: Mapping[str, str]) -> dict[str, str]:
    """Environment of a Prefect server that keeps everything below ``home`` and answers at ``url``.

    It is also what clients of that server need. ``base`` is the environment to start from: Prefect's own variables in
    it are dropped, so that a server somewhere else that the user works with is never touched by mistake.
    """
    kept = {name: value for name, value in base.items() if not name.startswith("PREFECT_")}
    # With this set every process that imports Prefect compiles all of it anew, which takes two seconds.
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    # A proxy of the network has no way to this machine's own loopback.
    without_proxy = {name: ",".join(filter(None, (base.get(name, ""), f"{LOOPBACK},localhost"))) for name in _PROXIES}
    return kept | without_proxy | _settings(home, url)


def _settings(home: Path, url: str) -> dict[str, str]:
    return {
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": f"{url}/api",
        # Relative, so that the pages work under every name and address that this machine is reached by.
        "PREFECT_SERVER_UI_API_URL": "/api",
        # No counting of users: the server's, then the command line's.
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        # The second version of the UI calls a host of its maker's from the browser, whatever the settings say.
        "PREFECT_SERVER_UI_V2_ENABLED": "false",
        # Otherwise the server writes into the installed package.
        "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(home / "ui"),
        # A missing server must be an error: one started on the fly loses most of a run's history.
        "PREFECT_SERVER_EPHEMERAL_ENABLED": "false",
        # Slots that are kept in memory stay taken for ever when the server is restarted.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
        "PREFECT_LOGGING_EXTRA_LOGGERS": "backup_core",
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    }
