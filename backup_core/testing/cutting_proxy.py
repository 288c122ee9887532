"""A proxy on loopback that passes bytes on to a real server and cuts connections where it is told to."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from backup_core.deferred import dataclass


@dataclass(frozen=True, slots=True)
class Cut:
    """Where one connection ends. Counted are bytes with headers; None lets everything pass."""

    after_up: int | None = None
    """Reset the connection after so many bytes from the client reached the server."""
    after_down: int | None = None
    """Reset the client's side after so many bytes of answers; 0 loses the answer to a request that was carried out."""


class CuttingProxy:
    """Listens on ``port``; asks ``plan`` for every connection, by its number from 0 on, where to cut it."""

    def __init__(self, target: tuple[str, int], plan: Callable[[int], Cut]) -> None:
        self._target = target
        self._plan = plan
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.connections = 0

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        # Closing alone would leave a waiting accept() where it is.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            cut = self._plan(self.connections)
            self.connections += 1
            server = socket.create_connection(self._target)
            for source, sink, limit in ((client, server, cut.after_up), (server, client, cut.after_down)):
                threading.Thread(target=_pass_on, args=(source, sink, limit, client), daemon=True).start()


def _pass_on(source: socket.socket, sink: socket.socket, limit: int | None, client: socket.socket) -> None:
    left = limit
    try:
        while data := source.recv(65536):
            piece = data if left is None else data[:left]
            sink.sendall(piece)
            if left is not None:
                left -= len(piece)
                if left <= 0:
                    break
        else:
            sink.shutdown(socket.SHUT_WR)
            return
    except OSError:
        return
    # The server sees an ordinary end, the client a reset, as when a router forgets a connection.
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    for each, side in ((client, socket.SHUT_RD), (sink if source is client else source, socket.SHUT_RDWR)):
        with suppress(OSError):
            each.shutdown(side)  # wakes the thread that reads the other way
        each.close()
