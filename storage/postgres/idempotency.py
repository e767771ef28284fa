"""Idempotency keys in Postgres: the response to a create, stored in the transaction of that create.

Guarantees:
- of equal requests with one key, concurrent or not, one creates, and the others get its response;
- a create that fails or is lost in a crash leaves no key behind;
- a key belongs to its user, and is free again 24 hours after its use;
- a response with a secret is never in clear.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import msgspec

from engine.accounts.access import Caller
from engine.common.errors import UnavailableError
from engine.common.idempotency import (
    RETENTION,
    IdempotentRequest,
    ResponseRow,
)
from engine.jobs.handler import repeatable
from engine.jobs.periodic import HOUR, PeriodicJob
from engine.jobs.schedule import Every
from storage.postgres import queries
from storage.postgres.database import Connection, Database

_SQL: Final = queries.load("postgres/idempotency")
PURGE_ROWS: Final = 10_000
T = TypeVar("T")
Work = Callable[[Connection], Awaitable[T]]


def run_once(caller: Caller, once: IdempotentRequest[T] | None, work: Work[T]) -> Work[T]:
    """Return `work` limited to one run per idempotency key; `once.respond` makes the response to store.

    Run the result at the begin of a transaction, with the caller's tenant set. It raises AlreadyAnsweredError
    with the stored response, or InvalidError if the key was used for another request.
    """
    if once is None:
        return work
    owner = caller.tenant_id, caller.user_id, once.key

    async def guarded(connection: Connection) -> T:
        if not await connection.fetchval(_SQL["claim_key"], *owner, once.request_sha256, RETENTION):
            row = await connection.fetchrow(_SQL["kept_answer"], *owner)
            if row is None:  # purged after the claim failed
                raise UnavailableError("the idempotency key expired just now; send it again")
            raise once.error_for_used_key(response_row(row))
        result = await work(connection)
        stored = once.row_of(result)
        await connection.execute(_SQL["return_home"], str(caller.tenant_id))
        await connection.execute(
            _SQL["keep_answer"],
            *owner,
            stored.status,
            msgspec.json.encode(stored.headers).decode(),
            stored.body,
            stored.holds_secret,
            stored.about_profile,
        )
        return result

    return guarded


def response_row(row: Any) -> ResponseRow:
    """Return the row of a response from its columns."""
    headers = msgspec.json.decode(row["headers"], type=dict[str, str])
    return ResponseRow(**dict(row) | {"headers": headers})


class IdempotencyPurge:
    """Purge of idempotency keys, over a database that was opened as waypost_aggregator."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def periodic_jobs(self) -> list[PeriodicJob]:
        return [
            PeriodicJob(
                "idempotency.purge",
                Every(HOUR),
                "delete responses to creates after the 24 hours for which they are kept",
                repeatable(self.purge_expired),
            )
        ]

    async def purge_expired(self) -> None:
        """Delete the responses that are older than RETENTION."""

        async def work(connection: Connection) -> str:
            return await connection.execute(_SQL["purge_expired"], RETENTION, PURGE_ROWS)

        while await self._database.transaction(work) == f"DELETE {PURGE_ROWS}":
            pass
