"""The WebDAV backend: the only place that speaks HTTP to a storage server."""

from __future__ import annotations

import sys
from typing import cast

# httpx loads a command line of its own where Rich is installed: a tenth of its time, and never used here. None in this
# place says "not installed", for which it is prepared.
cast("dict[str, object]", sys.modules).setdefault("httpx._main", None)
