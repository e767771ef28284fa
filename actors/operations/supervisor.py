"""Supervisors, as in Erlang's OTP: restart children that crash, until restarts do not help.

The strategy is one-for-one: a supervisor restarts a child that ends with an error after a backoff, and the
other children continue. After more than `intensity` crashes within `period_s` the supervisor gives up and
raises EscalationError, which its own supervisor sees as a crash; at the top, the process ends and its parent
restarts it. A supervisor can be the child of another one (`group`): when it gives up, its children restart
together, and the other children of its parent continue. Children start in order and stop in reverse order,
each before those that it relies on.
"""

import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import trio

from engine.common.errors import WaypostError
from engine.common.retry import backoff_s
from engine.operations.actor_tree import ActorNode, ActorStatus

logger = logging.getLogger("waypost.supervisor")

INTENSITY: Final = 10
GROUP_INTENSITY: Final = 5
PERIOD_S: Final = 60.0


class EscalationError(WaypostError):
    """The error of a supervisor whose child crashed more than `intensity` times in `period_s`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """A child. `start` runs for ever, or returns when its work is finished for good.

    `status` returns the child's status while it runs; `group` is the supervisor that `start` runs, if any.
    """

    name: str
    start: Callable[[], Awaitable[None]]
    status: Callable[[], ActorStatus] = ActorStatus
    group: "Supervisor | None" = None


@dataclass(slots=True)
class ChildStatus:
    """The state of one child, for as long as its supervisor lives."""

    name: str
    running: bool = False
    done: bool = False
    restarts: int = 0
    last_error: str = ""
    started_at: float = 0.0
    crashes: deque[float] = field(default_factory=deque)


class Supervisor:
    def __init__(
        self,
        name: str,
        children: list[ChildSpec],
        *,
        intensity: int = INTENSITY,
        period_s: float = PERIOD_S,
        jitter: Callable[[], float] = lambda: 1.0,
    ) -> None:
        self.name = name
        self.children = {child.name: ChildStatus(child.name) for child in children}
        self._specs = children
        self._intensity = intensity
        self._period_s = period_s
        self._jitter = jitter

    async def run(self) -> None:
        """Start the children in order and keep them running; stop them in reverse order when cancelled."""
        for state in self.children.values():
            state.crashes.clear()  # crashes before a restart of this supervisor count no more
        started: list[tuple[trio.CancelScope, trio.Event]] = []
        async with trio.open_nursery() as nursery:
            try:
                for child in self._specs:
                    scope, stopped = trio.CancelScope(shield=True), trio.Event()
                    begun = trio.Event()
                    started.append((scope, stopped))
                    nursery.start_soon(
                        self._run_child, child, scope, begun, stopped, name=child.name
                    )
                    # Tasks of one nursery begin in any order.
                    await begun.wait()
                await trio.sleep_forever()
            finally:
                # The nursery would cancel its tasks in any order, so children are shielded from it.
                with trio.CancelScope(shield=True):
                    for scope, stopped in reversed(started):
                        scope.cancel()
                        await stopped.wait()

    async def _run_child(
        self, child: ChildSpec, scope: trio.CancelScope, begun: trio.Event, stopped: trio.Event
    ) -> None:
        begun.set()
        try:
            with scope:
                await self._keep_running(child)
        finally:
            stopped.set()

    async def _keep_running(self, child: ChildSpec) -> None:
        state = self.children[child.name]
        while True:
            state.running, state.done, state.started_at = True, False, trio.current_time()
            try:
                await child.start()
                state.done = True
                return
            except Exception as error:
                state.last_error = describe_error(error)
                logger.exception(
                    "%s/%s crashed", self.name, child.name,
                    extra={"event": "actor_crashed", "actor": child.name},
                )  # fmt: skip
            finally:
                state.running = False
            await self._after_crash(state)

    async def _after_crash(self, state: ChildStatus) -> None:
        now = trio.current_time()
        state.crashes.append(now)
        crashes = self._recent_crashes(state)
        if crashes > self._intensity:
            raise EscalationError(
                f"{self.name}/{state.name} crashed {crashes} times in "
                f"{self._period_s:g} s, last: {state.last_error}"
            )
        state.restarts += 1
        await trio.sleep(backoff_s(crashes, first_s=0.05, limit_s=5.0) * self._jitter())

    def _recent_crashes(self, state: ChildStatus) -> int:
        """Return how often the child crashed within the period."""
        while state.crashes and state.crashes[0] <= trio.current_time() - self._period_s:
            state.crashes.popleft()
        return len(state.crashes)

    def nodes(self) -> tuple[ActorNode, ...]:
        """Return the nodes of the children, each with all below it."""
        return tuple(self._node(child, self.children[child.name]) for child in self._specs)

    def _node(self, child: ChildSpec, state: ChildStatus) -> ActorNode:
        status = child.status()
        return ActorNode(
            name=child.name,
            kind="actor" if child.group is None else "supervisor",
            running=state.running,
            done=state.done,
            for_s=trio.current_time() - state.started_at if state.running else 0.0,
            restarts=state.restarts,
            crashes=self._recent_crashes(state),
            mailbox=status.mailbox,
            lag=dict(status.lag),
            last_error=status.last_error or state.last_error,
            children=() if child.group is None else child.group.nodes(),
        )


def group(
    name: str, children: list[ChildSpec], *, jitter: Callable[[], float] = lambda: 1.0
) -> ChildSpec:
    """Return the spec of a child that supervises `children`."""
    supervisor = Supervisor(name, children, intensity=GROUP_INTENSITY, jitter=jitter)
    return ChildSpec(name=name, start=supervisor.run, group=supervisor)


def describe_error(error: BaseException) -> str:
    """Return an error as one line of text; of a group with one error, that error."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    if isinstance(error, EscalationError):
        return str(error)[:500]
    return " ".join(f"{type(error).__name__}: {error}"[:500].split())
