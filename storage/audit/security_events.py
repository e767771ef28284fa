"""Security events in Postgres, each in the log of its own tenant. Tenant 0 has those of unknown callers."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import orjson

from engine.accounts.access import Caller, require_scope
from engine.audit.security_event import NO_TENANT, SecurityEvent, StoredSecurityEvent
from engine.common.list_page import ListPage
from storage.accounts.access import MAX_ID
from storage.postgres import queries
from storage.postgres.database import Connection, Database

_SQL: Final = queries.load("audit/security_events")


class PostgresSecurityStore:
    """SecurityStore over a database that was opened as waypost_app."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def write(self, events: Sequence[SecurityEvent]) -> None:
        by_tenant: dict[int, list[SecurityEvent]] = defaultdict(list)
        for event in events:
            by_tenant[event.tenant_id].append(event)

        async def work(connection: Connection) -> None:
            for tenant_id, tenant_events in by_tenant.items():
                tenant_setting = "" if tenant_id == NO_TENANT else str(tenant_id)
                await connection.execute(_SQL["act_as"], tenant_setting)
                await connection.execute(
                    _SQL["write_events"],
                    tenant_id,
                    [event.kind for event in tenant_events],
                    [event.user_id for event in tenant_events],
                    [event.key_id for event in tenant_events],
                    [event.request_id for event in tenant_events],
                    [event.at for event in tenant_events],
                    [event.times for event in tenant_events],
                    [orjson.dumps(event.detail).decode() for event in tenant_events],
                )

        await self._database.transaction(work)

    async def events(
        self, caller: Caller, before: int, limit: int, key_id: int | None = None
    ) -> ListPage:
        async def work(connection: Connection) -> ListPage:
            below = min(before or MAX_ID, MAX_ID)
            query = caller.tenant_id, below, limit + 1
            rows = (
                await connection.fetch(_SQL["events"], *query)
                if key_id is None
                else await connection.fetch(_SQL["events_of_key"], *query, key_id)
            )
            events = [
                StoredSecurityEvent(id_, SecurityEvent._make([*fields, orjson.loads(detail)]))
                for id_, *fields, detail in rows
            ]
            return ListPage.of(events, limit)

        require_scope(caller, "admin")
        return await self._database.transaction(work, caller=caller, read_only=True)
