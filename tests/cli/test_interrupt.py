"""Ctrl+C: the first sets the token, the second leaves at once."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from backup_core.cli.interrupt import interruptible
from backup_core.progress import CancelToken


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_cancels_and_the_second_leaves(number: signal.Signals) -> None:
    cancel, said, left = CancelToken(), [], []
    with interruptible(cancel, say=said.append, leave=left.append):
        os.kill(os.getpid(), number)
        assert cancel.cancelled
        assert left == []
        os.kill(os.getpid(), number)
    assert left == [130]
    assert len(said) == 2
    assert cancel.reason == f"stopped by {'Ctrl+C' if number == signal.SIGINT else 'SIGTERM'}"


def test_the_handlers_are_as_before_afterwards() -> None:
    before = (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))
    with interruptible(CancelToken()):
        assert signal.getsignal(signal.SIGINT) is not before[0]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_outside_the_main_thread_signals_are_left_alone() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen: list[object] = []

    def work() -> None:
        with interruptible(CancelToken()):
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]


def test_a_forked_worker_says_nothing() -> None:
    cancel, said = CancelToken(), []
    with interruptible(cancel, say=said.append):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.kill(os.getpid(), signal.SIGINT)
            os.write(writer, b"silent" if not said else b"spoke")
            os._exit(0)
        os.waitpid(child, 0)
        assert os.read(reader, 10) == b"silent"
    assert not cancel.cancelled
    os.close(reader)
    os.close(writer)
