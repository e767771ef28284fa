"""Outbox of events, written in the transaction of the change that they report: both are committed, or neither.

Changes of links, profiles, members and assets do not use this module: a trigger on the audit log writes their
events (storage/migrations/0009_webhooks.sql).
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from engine.webhooks.events import EVENT_TYPES, EventDraft
from storage.postgres import queries
from storage.postgres.database import Connection

_SQL: Final = queries.load("webhooks/outbox")


async def append_to_outbox(connection: Connection, drafts: Sequence[EventDraft]) -> None:
    """Write events in the connection's transaction, with one statement.

    An event that no webhook of its profile subscribes to is not written. Raises TypeError for data that is
    not of the event's type: a mistake of the code.
    """
    if not drafts:
        return
    for draft in drafts:
        expected = EVENT_TYPES[draft.type].data
        if type(draft.data) is not expected:
            raise TypeError(
                f"{draft.type} carries {expected.__name__}, not {type(draft.data).__name__}"
            )
    columns = zip(
        *((d.tenant_id, d.profile_id, d.type, d.once, _json(d.data)) for d in drafts), strict=True
    )
    await connection.execute(_SQL["append_to_outbox"], *map(list, columns))


class PostgresOutbox:
    """Outbox over whatever connection it is given."""

    async def append(self, connection: Connection, drafts: Sequence[EventDraft]) -> None:
        await append_to_outbox(connection, drafts)


def _json(data: msgspec.Struct) -> str:
    return msgspec.json.encode(data).decode()
