"""Health, metrics and states of all processes of the engine on this machine."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import trio

from engine.common.errors import UnavailableError
from engine.operations.health import Component, Health
from engine.operations.metrics import ProcessMetrics
from engine.operations.system import ProcessState, process_states, unexpected
from storage.operations import status

PING_LIMIT_S: Final = 1.5


class EngineStatus:
    """Status of the engine, read from each process over its socket and from each server by its ping."""

    def __init__(
        self,
        run_folder: Path,
        processes: Sequence[str],
        pings: Mapping[str, Callable[[], Awaitable[None]]],
    ) -> None:
        """`processes` are the names of those that must run on this machine."""
        self._run_folder = run_folder
        self._processes = processes
        self._pings = pings

    async def health(self) -> Health:
        folder = self._run_folder
        statuses = {status_.name: status_ for status_ in await status.fetch_statuses(folder)}
        components = [c for status_ in statuses.values() for c in status_.components]
        failures = status.recent_failures(folder)
        missing = [
            component
            for name in self._processes
            for component in unexpected(name, statuses.get(name), failures.get(name, ""))
        ]
        servers = [await _ping(name, ping) for name, ping in self._pings.items()]
        return Health((*servers, *components, *missing))

    async def metrics(self) -> list[ProcessMetrics]:
        statuses = await status.fetch_statuses(self._run_folder)
        return [status_.metrics for status_ in statuses]

    async def system(self) -> list[ProcessState]:
        folder = self._run_folder
        statuses = await status.fetch_statuses(folder)
        return process_states(statuses, self._processes, status.recent_failures(folder))


async def _ping(name: str, ping: Callable[[], Awaitable[None]]) -> Component:
    try:
        with trio.fail_after(PING_LIMIT_S):
            await ping()
    except UnavailableError as error:
        return Component(name, False, str(error))
    except trio.TooSlowError:
        return Component(name, False, f"does not answer within {PING_LIMIT_S:g} s")
    return Component(name, True)
