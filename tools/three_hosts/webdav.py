"""A WebDAV server at an address of one's choice that writes down each request: when it began, from
where, which; a line appears when it has been answered."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from backup_core.services.embedded import make_application, make_server
from backup_core.types import Secret


def main(address: str, port: str, root: str, log: str) -> None:
    """Serve until killed."""
    Path(root).mkdir(exist_ok=True)
    served = make_application(Path(root), username="fleet", password=Secret(os.environ["DAV_PASSWORD"]))
    with Path(log).open("a", buffering=1) as book:

        def noted(environ, start_response):
            begun = time.time()
            who, method, path = (environ.get(name, "") for name in ("REMOTE_ADDR", "REQUEST_METHOD", "PATH_INFO"))
            answer = served(environ, start_response)
            # Now, since what a request brings may take as long as the line is slow.
            book.write(f"{begun:.3f} {who} {method} {path}\n")
            return answer

        server = make_server(noted, host=address, port=int(port), threads=16)
        server.prepare()
        server.serve()


if __name__ == "__main__":
    main(*sys.argv[1:])
