"""Telling systemd (or what speaks like it) how far a service of ``Type=notify`` is."""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping

VARIABLE = "NOTIFY_SOCKET"


class ServiceManager:
    """The one that started this process, if there is one. Its socket is taken out of the environment, because children
    must not speak for this process."""

    def __init__(self, environment: MutableMapping[str, str] = os.environ) -> None:
        self._address = environment.pop(VARIABLE, "")

    def ready(self) -> None:
        """Everything answers."""
        self._tell("READY=1")

    def stopping(self) -> None:
        """The end has begun."""
        self._tell("STOPPING=1")

    def _tell(self, state: str) -> None:
        if not self._address:
            return
        # An address that begins with @ is a name without a file.
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
            line.connect(address)
            line.sendall(state.encode())
