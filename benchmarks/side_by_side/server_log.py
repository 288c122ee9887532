"""What Apache wrote down: requests, and bytes in both directions, headers included."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Traffic:
    """Between client and server."""

    requests: int
    up: int
    """Bytes received by the server."""
    down: int
    """Bytes sent by it."""


def traffic(lines: Iterable[str]) -> Traffic:
    """Of lines ``METHOD PATH STATUS BYTES-IN BYTES-OUT``."""
    requests = up = down = 0
    for line in lines:
        *_, received, sent = line.split()
        requests, up, down = requests + 1, up + int(received), down + int(sent)
    return Traffic(requests, up, down)


class ServerLog:
    """The log of a server that is running; read from where the last look ended."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = 0

    def read_on(self) -> Traffic:
        """Since the last call. A line may be written after its answer was sent, so a moment is waited for silence."""
        size = -1
        while size != (size := self._path.stat().st_size):
            time.sleep(0.2)
        with self._path.open("rb") as log:
            log.seek(self._position)
            text = log.read()
        self._position += len(text)
        return traffic(text.decode().splitlines())
