"""The log of readiness: a line when a component stops being ready, and another one when it is ready again.

What /readyz says is seen by an operator who looks at it. The log says it once for each failure: at its begin,
and at its end with the seconds it took. A component that comes and goes has at most one pair of lines in
REPEAT_S.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import trio

from engine.operations.health import Component

logger = logging.getLogger("waypost.readiness")

LOOK_S: Final = 0.5
REPEAT_S: Final = 10.0


@dataclass(slots=True)
class _Failure:
    """A component that is not ready. `logged`: the line about its begin has been written."""

    since: float
    looks: int = 0
    logged: bool = False


class ReadinessLog:
    """Actor that looks at the components of its process every LOOK_S."""

    def __init__(self, components: Callable[[], Iterable[Component]]) -> None:
        self._components = components
        self._failures: dict[str, _Failure] = {}
        self._logged_at: dict[str, float] = {}

    async def run(self) -> None:
        while True:
            await trio.sleep(LOOK_S)
            self.look()

    def look(self) -> None:
        """Write a line for each component that has changed since the last look."""
        now = trio.current_time()
        current = {component.name: component for component in self._components()}
        for component in current.values():
            if not component.ready:
                self._note(component, now)
        for name in list(self._failures):
            component = current.get(name, Component(name, True))
            if component.ready:
                self._end(component, self._failures.pop(name), now)

    def _note(self, component: Component, now: float) -> None:
        """Log a failure that two looks in a row have seen."""
        failure = self._failures.setdefault(component.name, _Failure(now))
        failure.looks += 1
        recently = now - self._logged_at.get(component.name, -REPEAT_S) < REPEAT_S
        if failure.looks < 2 or failure.logged or recently:
            return
        failure.logged = True
        self._logged_at[component.name] = now
        logger.error(
            "%s is not ready%s", component.name, _reason(component),
            extra={"event": "not_ready", "component": component.name},
        )  # fmt: skip

    def _end(self, component: Component, failure: _Failure, now: float) -> None:
        if not failure.logged:
            return
        logger.warning(
            "%s is ready again after %.1f s%s", component.name, now - failure.since, _reason(component),
            extra={"event": "ready_again", "component": component.name},
        )  # fmt: skip


def _reason(component: Component) -> str:
    return f": {component.reason}" if component.reason else ""
