"""The threads of a restore, when something happens that nobody expected."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from backup_core.engine.restore_crew import Crew
from backup_core.progress import CancelToken


class Unlucky(Crew):
    """Two threads that both have work when the first of them fails; the other fails because of that, afterwards."""

    def __init__(self) -> None:
        self.told = threading.Event()
        self.both = threading.Barrier(2)
        ledger: Any = SimpleNamespace(stop=None, stop_because=lambda *_: self.told.set())
        parts: dict[str, Any] = {"make_writer": Mock(), "parts": Mock(), "gate": Mock(), "progress": Mock()}
        super().__init__(Mock(), Mock(packs=["a", "b"]), ledger=ledger, cancel=CancelToken(), **parts)

    def _handle(self, work: Any, writer: Any) -> None:
        if self.both.wait(30) == 0:
            raise RuntimeError("the cause")
        assert self.told.wait(30)
        raise RuntimeError("what follows from it")


def test_of_several_unexpected_errors_the_first_is_raised() -> None:
    with pytest.raises(RuntimeError, match="the cause"):
        Unlucky().run(2)
