"""A long line to a server on loopback: ``python -m benchmarks.side_by_side.shaping_proxy PORT`` prints its own port.

Each direction has one bandwidth for all connections together, and every byte arrives half a round trip after it was
sent; a new connection costs one round trip more. Lost packets, the slow start of TCP, and TLS are not imitated.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable
from contextlib import suppress

_PIECE = 32_768
_UNDERWAY = 64
"""Pieces that may be underway on one connection in one direction."""


class Lane:
    """One direction of the line."""

    def __init__(self, *, bytes_per_second: float, delay: float) -> None:
        self._rate = bytes_per_second
        self._delay = delay
        self._free = 0.0

    def arrival(self, now: float, size: int) -> float:
        """When a piece that is sent now will have arrived; times in seconds."""
        self._free = max(now, self._free) + size / self._rate
        return self._free + self._delay


class ShapingProxy:
    """Passes connections on to a port of this machine."""

    def __init__(self, port: int, *, round_trip: float, bytes_per_second: float) -> None:
        self._port = port
        self._round_trip = round_trip
        self._up = Lane(bytes_per_second=bytes_per_second, delay=round_trip / 2)
        self._down = Lane(bytes_per_second=bytes_per_second, delay=round_trip / 2)

    async def serve(self, listening: Callable[[int], None]) -> None:
        """Until cancelled."""
        server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        listening(server.sockets[0].getsockname()[1])
        async with server:
            await server.serve_forever()

    async def _connect(self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        await asyncio.sleep(self._round_trip)
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self._port)
        await asyncio.gather(_carry(from_client, to_server, self._up), _carry(from_server, to_client, self._down))


async def _carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter, lane: Lane) -> None:
    underway: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_UNDERWAY)
    clock = asyncio.get_running_loop().time

    async def deliver() -> None:
        while True:
            due, piece = await underway.get()
            await asyncio.sleep(max(0.0, due - clock()))
            if not piece:
                sink.close()
                return
            with suppress(ConnectionError):  # nobody listens any more: the rest is taken and dropped
                sink.write(piece)
                await sink.drain()

    delivery = asyncio.create_task(deliver())
    with suppress(ConnectionError):
        while piece := await source.read(_PIECE):
            await underway.put((lane.arrival(clock(), len(piece)), piece))
    await underway.put((clock(), b""))
    await delivery


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", type=int)
    parser.add_argument("--round-trip", type=float, default=0.05, help="seconds")
    parser.add_argument("--rate", type=float, default=20e6, help="bytes a second in each direction")
    chosen = parser.parse_args()
    proxy = ShapingProxy(chosen.port, round_trip=chosen.round_trip, bytes_per_second=chosen.rate)
    with suppress(KeyboardInterrupt):
        asyncio.run(proxy.serve(lambda port: print(port, flush=True)))


if __name__ == "__main__":
    main()
