"""Events on their way out: written in the transaction of what they tell of, so that neither is without the
other.

Changes of links, profiles, members and assets need nothing of this: a trigger on the log of changes writes
their events (storage/migrations/0009_webhooks.sql).
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from engine.webhooks.events import EVENT_TYPES, EventDraft
from storage.postgres import queries
from storage.postgres.database import Connection

_SQL: Final = queries.load("webhooks/outbox")


async def append_to_outbox(connection: Connection, drafts: Sequence[EventDraft]) -> None:
    """Write down what has happened, as part of the connection's transaction.

    Costs one statement, and leaves nothing where no webhook wants to hear of it. Raises TypeError for data
    that is not of the event's type, as that is a mistake of the code.
    """
    if not drafts:
        return
    for draft in drafts:
        wanted = EVENT_TYPES[draft.type].data
        if type(draft.data) is not wanted:
            raise TypeError(
                f"{draft.type} carries {wanted.__name__}, not {type(draft.data).__name__}"
            )
    columns = zip(
        *((d.tenant_id, d.profile_id, d.type, d.once, _json(d.data)) for d in drafts), strict=True
    )
    await connection.execute(_SQL["append_to_outbox"], *map(list, columns))


def _json(data: msgspec.Struct) -> str:
    return msgspec.json.encode(data).decode()
