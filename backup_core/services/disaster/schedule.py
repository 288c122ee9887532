"""The order of a run: a step begins when those it depends on are done, and when a place is free.

What a failure means: with ``on_failure`` "stop" nothing more is begun; with "continue" only the steps that depend on a
failed one are left out. A step that came back with files missing holds up nobody unless the plan stops on failure: half
of the uploads are better than none.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Collection
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from backup_core.config.recovery_plans import RecoveryPlan
from backup_core.progress import CancelToken
from backup_core.services.disaster.records import StepState

_IN_THE_WAY = (StepState.FAILED, StepState.BLOCKED, StepState.CANCELLED)
_STOPPING = (*_IN_THE_WAY, StepState.INCOMPLETE)


class Schedule:
    """One run through the steps of a plan."""

    def __init__(
        self,
        plan: RecoveryPlan,
        work: Callable[[str], StepState],
        left_out: Callable[[str, StepState, str], None],
        *,
        cancel: CancelToken,
        done: Collection[str] = (),
    ) -> None:
        """``work`` does one step, in a thread of its own; ``left_out`` is told of steps that are not begun, and why.
        ``done`` are steps that need not be done (any more)."""
        self._plan = plan
        self._work = work
        self._left_out = left_out
        self._cancel = cancel
        self._done = frozenset(done)
        self._position = {step.name: number for number, step in enumerate(plan.steps)}
        self._running: dict[Future[StepState], str] = {}
        self.states: dict[str, StepState] = {}
        """What became of each step that was not done before."""

    def run(self) -> dict[str, StepState]:
        """Go through all steps; what became of them."""
        sorter = self._plan.sorter()
        sorter.prepare()
        ready: list[str] = []
        with ThreadPoolExecutor(self._plan.parallel, thread_name_prefix="davault-step") as pool:
            try:
                while sorter.is_active():
                    ready = sorted([*ready, *sorter.get_ready()], key=self._position.__getitem__)
                    settled = [name for name in ready if self._settled(name)]
                    for name in settled:
                        sorter.done(name)
                    ready = [name for name in ready if name not in settled]
                    if settled:
                        continue
                    ready = self._begin(pool, ready)
                    for name in self._ended():
                        sorter.done(name)
            except BaseException:
                self._cancel.cancel("another step of the plan met an unforeseen error")
                raise
        return self.states

    def _settled(self, name: str) -> bool:
        """True when nothing has to be done for a step (any more)."""
        if name in self._done:
            return True
        state, reason = self._obstacle(name)
        if reason:
            self.states[name] = state
            self._left_out(name, state, reason)
        return bool(reason)

    def _obstacle(self, name: str) -> tuple[StepState, str]:
        if self._cancel.cancelled:
            return StepState.CANCELLED, self._cancel.reason
        for other in self._plan.step(name).depends_on:
            if self.states.get(other) in _IN_THE_WAY:
                return StepState.BLOCKED, f"the step {other!r}, on which it depends, was not done"
        if self._plan.on_failure == "stop":
            first = next((other for other, state in self.states.items() if state in _STOPPING), None)
            if first is not None:
                return StepState.BLOCKED, f"the plan stops at the first failure, which was that of {first!r}"
        return StepState.PENDING, ""

    def _begin(self, pool: ThreadPoolExecutor, ready: list[str]) -> list[str]:
        free = self._plan.parallel - len(self._running)
        for name in ready[:free]:
            # The context carries what a caller's logging hangs on.
            self._running[pool.submit(contextvars.copy_context().run, self._work, name)] = name
        return ready[free:]

    def _ended(self) -> list[str]:
        names = []
        for future in wait(self._running, return_when=FIRST_COMPLETED).done:
            name = self._running.pop(future)
            self.states[name] = future.result()
            names.append(name)
        return names
