"""Connections that nobody uses are closed, so that idle processes leave them to others."""

import pytest
import trio

from storage.postgres import database as module
from storage.postgres.database import Connection, Database
from tests.kit.hosted import hosted_run

pytestmark = [pytest.mark.trio(run=hosted_run), pytest.mark.slow]


async def test_connections_of_a_peak_are_closed_when_idle(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "IDLE_S", 0.2)
    database = await Database.open(
        database_url, role="waypost_edge", size=3, query_timeout_ms=5_000
    )

    async def work(connection: Connection) -> None:
        await connection.execute("SELECT pg_sleep(0.05)")

    def connections() -> float:
        return sum(
            sample.value for sample in database.samples() if sample.name == module.CONNECTIONS.name
        )

    try:
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(database.transaction, work)
        assert connections() == 3
        with trio.fail_after(5):
            while connections():  # noqa: ASYNC110  # the driver tells nobody
                await trio.sleep(0.05)
        await database.transaction(work)
    finally:
        with trio.CancelScope(shield=True):
            await database.close()
