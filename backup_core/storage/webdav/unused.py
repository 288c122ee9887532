"""What the packages for HTTP would load, and nothing here uses."""

from __future__ import annotations

import sys


def pass_over_http2() -> None:
    """Let httpcore do without the twenty modules for HTTP/2 where these happen to be installed.

    For programs that speak HTTP through this library alone, as the command line does.
    """
    sys.modules.setdefault("h2", None)  # type: ignore[arg-type]  # documented: importing it fails as if it were missing
