"""The WebDAV backend: the only place that speaks HTTP to a storage server."""

from __future__ import annotations

import sys
from typing import cast

# httpx loads its own command line where Typer and Rich are installed, which a tenth of all that is loaded for a request
# comes from. None in this place means "not installed", which it is prepared for.
cast("dict[str, object]", sys.modules).setdefault("httpx._main", None)
