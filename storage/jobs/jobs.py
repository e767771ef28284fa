"""Jobs in Postgres.

Guarantees:
- enqueue() adds a job in its caller's transaction: together with the caller's change, or not at all;
- two workers never claim the same attempt (FOR UPDATE SKIP LOCKED). The attempt's number and
  time are the fencing token of all that a worker does to a job: once the job was rescued or claimed again,
  Postgres refuses it (StaleLeaseError), together with the effect that finish_with() would have committed;
- rescue() requeues a job if its worker died or hung past its lease, and never while its heartbeat goes on. Only
  the database's clock decides;
- each due time of a periodic job is enqueued once: the transaction that enqueues advances the row of
  `periodic_jobs` by compare-and-set, so schedulers need no leader.

Outside of finish_with(), an effect may happen twice: the worker can die after the effect and before
recording it.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final, TypeVar, cast

import asyncpg
import orjson

from engine.accounts.access import Action, Caller, require_scope
from engine.common.errors import ConflictError, NotFoundError, StaleLeaseError
from engine.common.list_page import ListPage
from engine.jobs.handler import repeatable
from engine.jobs.job import AttemptEnd, EnqueueResult, Heartbeat, Job, JobDraft, JobFilter, Lease
from engine.jobs.periodic import PeriodicJob
from engine.jobs.ports import QueueMetrics
from engine.jobs.schedule import Cron
from storage.accounts.access import MAX_ID, enter_job, enter_profile, validate_id
from storage.postgres import queries
from storage.postgres.database import Connection, Database

_SQL: Final = queries.load("jobs/jobs")
RESCUED_AT_ONCE: Final = 1000
PURGED_AT_ONCE: Final = 5000
LOST: Final = "its worker died or hung"
T = TypeVar("T")
_OnJob = Callable[[Connection, int | None, int], Awaitable[Job]]


async def enqueue(connection: Connection, draft: JobDraft) -> EnqueueResult:
    """Enqueue a job in the transaction of `connection`, as waypost_app (for the caller's tenant only) or as
    waypost_aggregator. Waits for another transaction that is enqueuing the same unique key."""
    while True:
        job_id = await connection.fetchval(
            _SQL["enqueue"], draft.tenant_id, draft.profile_id, draft.queue, draft.kind,
            draft.payload_json(), draft.priority, draft.unique_key, draft.max_attempts,
            draft.delay_s, draft.run_at,
        )  # fmt: skip
        if job_id is not None:
            return EnqueueResult(job_id, True)
        key = draft.tenant_id, draft.kind, draft.unique_key
        active_id = await connection.fetchval(_SQL["active_job"], *key)
        if active_id is not None:  # otherwise the job has just ended: try again
            return EnqueueResult(active_id, False)


async def enqueue_many(connection: Connection, drafts: Sequence[JobDraft]) -> None:
    """Enqueue jobs without a unique key, in one statement. Raises ValueError if a draft has one."""
    if any(draft.unique_key is not None for draft in drafts):
        raise ValueError("jobs with a unique key must be enqueued one by one")
    columns = [
        (d.tenant_id, d.profile_id, d.queue, d.kind, d.payload_json(), d.priority, d.max_attempts,
         d.delay_s, d.run_at)
        for d in drafts
    ]  # fmt: skip
    if columns:
        await connection.execute(_SQL["enqueue_many"], *zip(*columns, strict=True))


class PostgresJobQueue:
    """JobQueue over a database that was opened as waypost_aggregator."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def enqueue(self, drafts: Sequence[JobDraft]) -> list[EnqueueResult]:
        async def work(connection: Connection) -> list[EnqueueResult]:
            return [await enqueue(connection, draft) for draft in drafts]

        return await self._database.transaction(work)

    async def claim(
        self, worker: str, capacity: Mapping[str, int], kinds: Sequence[str], lease_s: float
    ) -> list[Job]:
        async def work(connection: Connection) -> list[Job]:
            rows = await connection.fetch(
                _SQL["claim"], worker, list(capacity), list(capacity.values()), list(kinds), lease_s
            )
            # UPDATE … RETURNING gives rows in any order.
            return [job_of(row) for row in sorted(rows, key=_claim_order)]

        return await self._database.transaction(work)

    async def heartbeat(self, beats: Sequence[Heartbeat], lease_s: float) -> dict[Lease, bool]:
        columns = list(
            zip(*[(*b.lease, *(b.progress or (None, None))) for b in beats], strict=True)
        )

        async def work(connection: Connection) -> dict[Lease, bool]:
            rows = await connection.fetch(_SQL["heartbeat"], *columns, lease_s)
            return {Lease(*row[:4]): row[4] for row in map(tuple, rows)}

        return await self._database.transaction(work) if beats else {}

    async def end(self, endings: Sequence[AttemptEnd]) -> set[Lease]:
        columns = list(
            zip(*[(*e.lease, e.outcome, e.delay_s, e.error) for e in endings], strict=True)
        )

        async def work(connection: Connection) -> set[Lease]:
            return {Lease(*row) for row in await connection.fetch(_SQL["end"], *columns)}

        return await self._database.transaction(work) if endings else set()

    async def finish_with(self, lease: Lease, work: Callable[[Any], Awaitable[T]]) -> T:
        async def finish(connection: Connection) -> T:
            if await connection.fetchval(_SQL["finish"], *lease) is None:
                raise StaleLeaseError(
                    f"job {lease.job_id} is not leased to attempt {lease.attempt}"
                )
            return await work(connection)

        return await self._database.transaction(finish)

    async def rescue(self) -> int:
        return await self._count_changed("rescue", RESCUED_AT_ONCE, LOST)

    async def release(self, worker: str, *, died: bool) -> int:
        return await self._count_changed("release", worker, int(died), LOST)

    async def schedule(
        self, plan: Callable[[datetime], Sequence[tuple[datetime, JobDraft]]]
    ) -> int:
        async def work(connection: Connection) -> int:
            now = await connection.fetchval(_SQL["now"])
            last_dues = {row["kind"]: row["due"] for row in await connection.fetch(_SQL["dues"])}
            created = 0
            # In the order of kinds, so that two schedulers cannot deadlock.
            for due, draft in sorted(plan(now), key=lambda pair: pair[1].kind):
                if draft.kind in last_dues and last_dues[draft.kind] >= due:
                    continue
                if await connection.fetchval(_SQL["move_due"], draft.kind, due):
                    created += (await enqueue(connection, draft)).created
            return created

        return await self._database.transaction(work)

    async def queue_metrics(self) -> tuple[list[QueueMetrics], int]:
        async def work(connection: Connection) -> tuple[list[QueueMetrics], int]:
            rows = await connection.fetch(_SQL["queue_metrics"])
            return [QueueMetrics(*row) for row in rows], await connection.fetchval(_SQL["dead"])

        return await self._database.transaction(work, read_only=True)

    def periodic_jobs(self, kept_days: int) -> list[PeriodicJob]:
        return [
            PeriodicJob(
                "jobs.purge",
                Cron("40 3 * * *"),
                "delete jobs that ended WAYPOST_JOBS_KEPT_DAYS ago",
                repeatable(partial(self.purge, kept_days)),
            )
        ]

    async def purge(self, days: int) -> None:
        while await self._count_changed("purge", days, PURGED_AT_ONCE) == PURGED_AT_ONCE:
            pass

    async def _count_changed(self, name: str, *arguments: object) -> int:
        """Run a statement. Returns the number of rows that it changed."""

        async def work(connection: Connection) -> int:
            return int((await connection.execute(_SQL[name], *arguments)).rpartition(" ")[2])

        return await self._database.transaction(work)


class PostgresJobStore:
    """JobStore over a database that was opened as waypost_app or, for the operator, as waypost_aggregator."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list_jobs(
        self, caller: Caller | None, conditions: JobFilter, before: int, limit: int
    ) -> ListPage:
        async def work(connection: Connection) -> ListPage:
            tenant = None if caller is None else caller.tenant_id
            if caller is not None and conditions.profile_id is not None:
                access = await enter_profile(connection, caller, conditions.profile_id, Action.READ)
                tenant = access.tenant_id
            last = min(before or MAX_ID, MAX_ID)
            rows = await connection.fetch(_SQL["list"], tenant, last, *conditions, limit + 1)
            return ListPage.of([job_of(row) for row in rows], limit)

        if caller is not None:
            require_scope(caller, "read")
        return await self._database.transaction(work, caller=caller, read_only=True)

    async def job(self, caller: Caller | None, job_id: int) -> Job:
        return await self._on(caller, job_id, Action.READ, _fetch)

    async def cancel(self, caller: Caller | None, job_id: int) -> Job:
        change = partial(_update, "cancel", "has ended and cannot be cancelled")
        return await self._on(caller, job_id, Action.EDIT, change)

    async def retry(self, caller: Caller | None, job_id: int) -> Job:
        change = partial(_update, "retry", "is not one that can be retried")
        try:
            return await self._on(caller, job_id, Action.EDIT, change)
        except asyncpg.UniqueViolationError:
            raise unique_key_conflict() from None

    async def _on(
        self, caller: Caller | None, job_id: int, action: Action, operation: _OnJob
    ) -> Job:
        """Apply `operation` to a job in its tenant, if the caller may."""
        validate_id(job_id, "job")

        async def work(connection: Connection) -> Job:
            if caller is None:
                return await operation(connection, None, job_id)
            try:
                return await operation(connection, caller.tenant_id, job_id)
            except NotFoundError:
                access = await enter_job(connection, caller, job_id, action)
                return await operation(connection, access.tenant_id, job_id)

        if caller is not None:
            require_scope(caller, action.value.scope)
        return await self._database.transaction(work, caller=caller)


async def _fetch(connection: Connection, tenant: int | None, job_id: int) -> Job:
    row = await connection.fetchrow(_SQL["job"], tenant, job_id)
    if row is None:
        raise NotFoundError.of("job")
    return job_of(row)


async def _update(
    name: str, refusal: str, connection: Connection, tenant: int | None, job_id: int
) -> Job:
    row = await connection.fetchrow(_SQL[name], tenant, job_id)
    if row is None:
        job = await _fetch(connection, tenant, job_id)
        raise ConflictError("state", f"a job that is {job.state} {refusal}")
    return job_of(row)


def unique_key_conflict() -> ConflictError:
    return ConflictError("unique_key", "must not be that of another queued or running job")


def job_of(row: asyncpg.Record) -> Job:
    done, total = row["progress_done"], row["progress_total"]
    return Job(
        **{name: row[name] for name in _PLAIN},
        payload=cast("dict[str, Any]", orjson.loads(row["payload"])),
        progress=None if done is None else (done, total),
    )


def _claim_order(row: asyncpg.Record) -> tuple[int, datetime, int]:
    return -row["priority"], row["run_at"], row["id"]


_PLAIN: Final = tuple(set(Job.__dataclass_fields__) - {"payload", "progress"})
