"""Jobs in Postgres alone: inside callers' transactions, between tenants, and with concurrent workers."""

import random
from collections import Counter
from typing import Any

import asyncpg
import pytest
import trio
from trio.lowlevel import current_trio_token

from engine.accounts.access import Caller
from engine.accounts.member import InvitationDraft
from engine.common.errors import ForbiddenError, NotFoundError, StaleLeaseError
from engine.jobs.job import AttemptEnd, Heartbeat, JobDraft, JobFilter
from engine.links.profile import ProfileDraft
from storage.accounts.invitations import PostgresInvitationStore
from storage.accounts.passwords import PasswordHasher
from storage.jobs.jobs import PostgresJobQueue, PostgresJobStore, enqueue, enqueue_many
from storage.links.profiles import PostgresProfileStore
from storage.postgres import queries
from storage.postgres.database import Connection, Database
from tests.kit.hosted import hosted_run
from tests.kit.stores import FAST, OpenDatabase, second_owner

pytestmark = [pytest.mark.trio(run=hosted_run), pytest.mark.slow]

ME = Caller(1, 1)


async def fetch_value(database: Database, query: str, *arguments: Any) -> Any:
    async def work(connection: Connection) -> Any:
        return await connection.fetchval(query, *arguments)

    return await database.transaction(work)


async def test_a_job_commits_with_its_change_or_not_at_all(open_database: OpenDatabase) -> None:
    app = await open_database("waypost_app")

    async def change(connection: Connection, fails: bool) -> None:
        await enqueue(connection, JobDraft(kind="a", tenant_id=1))
        await enqueue_many(connection, [JobDraft(kind="b", tenant_id=1, payload={"n": 1})] * 3)
        if fails:
            raise ValueError("the change is refused")

    with pytest.raises(ValueError, match="refused"):
        await app.transaction(lambda connection: change(connection, True), caller=ME)
    jobs = PostgresJobStore(app)
    assert (await jobs.list_jobs(ME, JobFilter(), 0, 10)).items == []
    await app.transaction(lambda connection: change(connection, False), caller=ME)
    listed_jobs = (await jobs.list_jobs(ME, JobFilter(), 0, 10)).items
    assert Counter(job.kind for job in listed_jobs) == {"a": 1, "b": 3}
    assert [job.payload for job in listed_jobs if job.kind == "b"] == [{"n": 1}] * 3


@pytest.mark.parametrize("tenant", [0, 2])
async def test_the_app_enqueues_for_its_own_tenant_only(
    open_database: OpenDatabase, tenant: int
) -> None:
    app = await open_database("waypost_app")
    draft = JobDraft(kind="a", tenant_id=tenant)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await app.transaction(lambda c: enqueue(c, draft), caller=ME)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await app.transaction(lambda c: enqueue_many(c, [draft]), caller=ME)


async def test_of_concurrent_jobs_with_one_unique_key_one_is_enqueued(
    open_database: OpenDatabase,
) -> None:
    database = await open_database("waypost_aggregator", 8)
    queue = PostgresJobQueue(database)
    results: list[Any] = []

    async def add() -> None:
        for _ in range(5):
            results.extend(await queue.enqueue([JobDraft(kind="a", unique_key="k")]))

    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(add)
    assert sum(result.created for result in results) == 1
    assert len({result.job_id for result in results}) == 1


async def test_schedulers_at_the_same_time_enqueue_each_due_once(
    open_database: OpenDatabase,
) -> None:
    database = await open_database("waypost_aggregator", 8)
    queue, enqueued = PostgresJobQueue(database), []
    start = await fetch_value(database, "SELECT clock_timestamp()")

    async def schedule(n: int) -> None:
        drafts = [JobDraft(kind=kind, unique_key=str(n)) for kind in "abcd"]
        random.Random(n).shuffle(drafts)
        enqueued.append(await queue.schedule(lambda _: [(start, draft) for draft in drafts]))

    async with trio.open_nursery() as nursery:
        for n in range(16):
            nursery.start_soon(schedule, n)
    assert sum(enqueued) == 4
    assert await fetch_value(database, "SELECT count(*) FROM jobs") == 4


async def test_a_scheduler_that_waited_for_anothers_move_enqueues_nothing(
    open_database: OpenDatabase,
) -> None:
    """Both have read that the job is due; the second waits until the first commits."""
    database = await open_database("waypost_aggregator", 2)
    queue, token, has_moved = PostgresJobQueue(database), current_trio_token(), trio.Event()
    due = await fetch_value(database, "SELECT clock_timestamp()")

    async def move_first(connection: Connection) -> None:
        assert await connection.fetchval(queries.load("jobs/jobs")["move_due"], "a", due)
        token.run_sync_soon(has_moved.set)
        while not await connection.fetchval(_BLOCKS_ANOTHER):
            await connection.execute("SELECT pg_sleep(0.002)")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(database.transaction, move_first)
        await has_moved.wait()
        assert await queue.schedule(lambda _: [(due, JobDraft(kind="a"))]) == 0


async def test_concurrent_workers_claim_each_job_once(
    open_database: OpenDatabase,
) -> None:
    database = await open_database("waypost_aggregator", 8)
    queue, count, taken = PostgresJobQueue(database), 500, Counter[int]()
    drafts = [JobDraft(kind="a", priority=n % 5 - 2) for n in range(count)]
    await database.transaction(lambda connection: enqueue_many(connection, drafts))

    async def work(name: str) -> None:
        while jobs := await queue.claim(name, {"default": 7}, ["a"], 60):
            taken.update(job.id for job in jobs)
            await queue.end([AttemptEnd(job.lease, "succeeded") for job in jobs])

    async with trio.open_nursery() as nursery:
        for n in range(8):
            nursery.start_soon(work, f"w{n}")
    assert len(taken) == count
    assert set(taken.values()) == {1}
    states = "SELECT count(*) FROM jobs WHERE state = 'succeeded' AND attempt = 1"
    assert await fetch_value(database, states) == count


async def test_after_a_failover_two_workers_have_one_attempt_and_one_of_them_the_job(
    open_database: OpenDatabase,
) -> None:
    """The standby lacked the first claim, so it gives the same attempt to another worker."""
    workers = await open_database("waypost_aggregator")
    queue = PostgresJobQueue(workers)
    await workers.transaction(lambda c: enqueue(c, JobDraft(kind="a", tenant_id=1)))
    (lost,) = await queue.claim("one", {"default": 1}, ["a"], 60)
    await workers.transaction(
        lambda c: c.execute("UPDATE jobs SET state = 'queued', attempt = 0, worker = ''")
    )
    (job,) = await queue.claim("two", {"default": 1}, ["a"], 60)
    assert job.attempt == lost.attempt
    assert await queue.heartbeat([Heartbeat(lost.lease)], 60) == {}
    assert await queue.end([AttemptEnd(lost.lease, "succeeded")]) == set()
    with pytest.raises(StaleLeaseError):
        await queue.finish_with(lost.lease, trio.sleep)
    assert set(await queue.heartbeat([Heartbeat(job.lease)], 60)) == {job.lease}
    assert await queue.end([AttemptEnd(job.lease, "succeeded")]) == {job.lease}


async def test_a_claim_reads_no_more_rows_than_it_takes(open_database: OpenDatabase) -> None:
    """Jobs that are not due, have ended or have a lower priority are not read."""
    database = await open_database("waypost_aggregator")
    fill = """INSERT INTO jobs (kind, priority, run_at, state, finished_at)
        SELECT 'a', n % 5 - 2, now() + make_interval(secs => CASE WHEN n % 10 = 0 THEN -1 ELSE 3600 END),
            CASE WHEN n % 3 = 0 THEN 'succeeded' ELSE 'queued' END,
            CASE WHEN n % 3 = 0 THEN now() END
        FROM generate_series(1, 20000) AS n"""

    async def work(connection: Connection) -> int:
        await connection.execute(fill)
        before: int = await connection.fetchval(_READ)
        rows = await connection.fetch(
            queries.load("jobs/jobs")["claim"], "w", ["default"], [10], ["a"], 60.0
        )
        assert len(rows) == 10
        after: int = await connection.fetchval(_READ)
        return after - before

    assert await database.transaction(work) < 200


_BLOCKS_ANOTHER = """SELECT EXISTS (
    SELECT FROM pg_locks WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid)))"""
_READ = """SELECT sum(idx_tup_read + idx_tup_fetch)::bigint FROM (
    SELECT pg_stat_get_xact_tuples_returned(c.oid) AS idx_tup_read,
        pg_stat_get_xact_tuples_fetched(c.oid) AS idx_tup_fetch
    FROM pg_class AS c WHERE c.relname IN ('jobs', 'jobs_next')) AS s"""


async def test_members_of_other_tenants_see_and_change_jobs_as_their_role_allows(
    open_database: OpenDatabase, database_url: str
) -> None:
    app, passwords = await open_database("waypost_app"), PasswordHasher(FAST)
    profiles, invitations = PostgresProfileStore(app), PostgresInvitationStore(app, passwords, 3600)
    owner, stranger = await second_owner(database_url), await second_owner(database_url)
    profile = await profiles.create_profile(owner, ProfileDraft(handle="anna"))

    async def add_member(role: str) -> Caller:
        caller = await second_owner(database_url)
        draft = InvitationDraft(email=f"{role}@example.com", role=role)
        await invitations.accept(caller, (await invitations.invite(owner, profile.id, draft))[1])
        return caller

    editor, viewer, jobs = (
        await add_member("editor"),
        await add_member("viewer"),
        PostgresJobStore(app),
    )
    draft = JobDraft(kind="a", tenant_id=owner.tenant_id, profile_id=profile.id)
    other = JobDraft(kind="a", tenant_id=owner.tenant_id)
    enqueued = await app.transaction(lambda c: enqueue(c, draft), caller=owner)
    tenants_own = await app.transaction(lambda c: enqueue(c, other), caller=owner)
    conditions = JobFilter(profile_id=profile.id)
    for member in (owner, editor, viewer):
        assert (await jobs.job(member, enqueued.job_id)).id == enqueued.job_id
        (listed_job,) = (await jobs.list_jobs(member, conditions, 0, 10)).items
        assert listed_job.id == enqueued.job_id
    assert (await jobs.list_jobs(viewer, JobFilter(), 0, 10)).items == []
    for refused in (viewer, editor._replace(scopes=("read",))):
        with pytest.raises(ForbiddenError):
            await jobs.cancel(refused, enqueued.job_id)
    for call in (jobs.job, jobs.cancel, jobs.retry):
        with pytest.raises(NotFoundError):
            await call(stranger, enqueued.job_id)
        with pytest.raises(NotFoundError):
            await call(editor, tenants_own.job_id)
    with pytest.raises(NotFoundError):
        await jobs.list_jobs(stranger, conditions, 0, 10)
    assert (await jobs.cancel(editor, enqueued.job_id)).state == "cancelled"
    assert (await jobs.retry(editor, enqueued.job_id)).state == "queued"
