"""The watch over Postgres and Redis of one machine: conditions under which clicks stand still in silence."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import trio

from engine.common.errors import WaypostError
from engine.operations.health import Component
from engine.operations.server_conditions import Condition, postgres_conditions, redis_conditions
from engine.operations.settings import Settings
from storage.operations.inspection import postgres_facts, redis_facts
from storage.operations.rights import find_flaws

logger = logging.getLogger("waypost.servers")

INTERVAL_S: Final = 15.0
FAILING_INTERVAL_S: Final = 2.0
LIMIT_S: Final = 10.0
SERVERS: Final = ("postgres", "redis")

Inspect = Callable[[], Awaitable[list[Condition]]]


class ServerWatch:
    """Actor that inspects the servers every INTERVAL_S. Its components are not ready while a condition fails;
    then it looks every FAILING_INTERVAL_S.

    A condition that does not fail is logged once.
    """

    def __init__(self, inspections: Sequence[Inspect]) -> None:
        self._inspections = inspections
        self._failing: dict[str, list[str]] = {}
        self._noted: set[Condition] = set()

    async def run(self) -> None:
        while True:
            await self.look()
            failing = any(self._failing.values())
            await trio.sleep(FAILING_INTERVAL_S if failing else INTERVAL_S)

    async def look(self) -> None:
        """Inspect each server once, side by side."""
        found: list[Condition] = []

        async def inspect(inspection: Inspect) -> None:
            found.extend(await inspection())

        async with trio.open_nursery() as nursery:
            for inspection in self._inspections:
                nursery.start_soon(inspect, inspection)
        self._failing = {
            server: [c.text for c in found if c.fails and c.server == server] for server in SERVERS
        }
        for condition in found:
            if not condition.fails and condition not in self._noted:
                self._noted.add(condition)
                logger.warning("%s: %s", condition.server, condition.text,
                               extra={"event": "server_condition"})  # fmt: skip

    def components(self) -> list[Component]:
        return [
            Component(f"launcher/{server}", not texts, "; ".join(texts))
            for server, texts in self._failing.items()
        ]


def inspections(
    settings: Settings, roles: Sequence[str], needed_connections: int
) -> tuple[Inspect, Inspect]:
    """Return the inspections of Postgres, with the rights of these roles of Postgres, and of Redis."""

    async def postgres() -> list[Condition]:
        facts = await postgres_facts(settings.database_url)
        flaws = await find_flaws(settings.database_url, roles)
        return [
            *postgres_conditions(facts, needed_connections),
            *(Condition("postgres", True, str(flaw)) for flaw in flaws[:1]),
        ]

    async def redis() -> list[Condition]:
        return redis_conditions(await redis_facts(settings.redis_url))

    return lambda: bounded("postgres", postgres), lambda: bounded("redis", redis)


async def bounded(server: str, inspect: Inspect) -> list[Condition]:
    """Return the conditions; a server that does not answer within LIMIT_S has one, too."""
    try:
        with trio.fail_after(LIMIT_S):
            return await inspect()
    except WaypostError as error:
        return [Condition(server, True, str(error))]
    except trio.TooSlowError:
        return [Condition(server, True, f"does not answer within {LIMIT_S:g} s")]
    except (
        Exception
    ) as error:  # the watch belongs to the launcher, which must outlive its servers' faults
        logger.exception("%s could not be inspected", server, extra={"event": "inspection_failed"})
        return [Condition(server, True, f"could not be inspected: {type(error).__name__}")]
