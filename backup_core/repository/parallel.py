"""Many requests at once, with few results waiting: a sliding window over a pool of threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from backup_core.errors import Cancelled, FormatError, StorageError
from backup_core.progress import CancelToken

Item = TypeVar("Item")
Result = TypeVar("Result")


def each(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    threads: int,
    ahead: int | None = None,
    cancel: CancelToken | None = None,
) -> Iterator[tuple[Item, Result | StorageError | FormatError]]:
    """(item, result) in the order of ``items``; an error of storage or format is given in place of the result.

    At most ``ahead`` results (two for each thread if not given) are under way or wait for the caller, so memory stays
    bounded. Without ``threads`` each is worked out when the caller comes to it. Other errors are raised.
    """

    def attempt(item: Item) -> Result | StorageError | FormatError:
        if cancel is not None:
            cancel.check()
        try:
            return work(item)
        except (StorageError, FormatError) as error:
            return error

    if not threads:
        yield from ((item, attempt(item)) for item in items)
        return
    limit = max(1, 2 * threads if ahead is None else ahead)
    waiting: deque[tuple[Item, Future[Result | StorageError | FormatError]]] = deque()
    with ThreadPoolExecutor(max(1, threads), thread_name_prefix="davault-fetch") as pool:
        try:
            for item in items:
                if len(waiting) >= limit:
                    first, future = waiting.popleft()
                    yield first, future.result()
                waiting.append((item, pool.submit(attempt, item)))
            while waiting:
                first, future = waiting.popleft()
                yield first, future.result()
        finally:
            for _, future in waiting:
                future.cancel()


def stop_if(cancel: CancelToken | None) -> None:
    """Raise ``Cancelled`` when the caller asked to stop."""
    if cancel is not None and cancel.cancelled:
        raise Cancelled(cancel.reason)
