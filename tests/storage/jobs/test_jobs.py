"""Jobs: one contract for Postgres and its twin. Concurrent transactions are in test_jobs_postgres.py."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest

from engine.accounts.access import Caller
from engine.common.errors import ConflictError, ForbiddenError, NotFoundError, StaleLeaseError
from engine.jobs.job import AttemptEnd, Heartbeat, Job, JobDraft, JobFilter, Lease
from engine.jobs.ports import JobQueue, JobStore
from storage.jobs.jobs import PostgresJobQueue, PostgresJobStore
from storage.jobs.memory_jobs import MemoryJobs, trio_now
from tests.kit.hosted import hosted_run
from tests.kit.stores import opened
from tests.kit.webhook_stores import as_owner

pytestmark = pytest.mark.trio(run=hosted_run)

ME, OTHER = Caller(1, 1), Caller(2, 2)
CAPACITY = {"default": 10, "mail": 2}
KINDS = ["a", "b", "c"]


class Ports(NamedTuple):
    """Both ports over one state; `age` moves the ends of all jobs into the past."""

    queue: JobQueue
    store: JobStore
    age: Callable[[timedelta], Awaitable[None]]

    async def add(self, kind: str = "a", **fields: Any) -> int:
        (result,) = await self.queue.enqueue([JobDraft(kind=kind, tenant_id=1, **fields)])
        assert result.created
        return result.job_id

    async def claim(self, worker: str = "w", kinds: Sequence[str] = KINDS) -> list[Job]:
        return await self.queue.claim(worker, CAPACITY, kinds, 60)

    async def running(self, **fields: Any) -> Job:
        """Enqueue a job and claim it. Returns the running job."""
        await self.add(**fields)
        (job,) = await self.claim()
        return job

    async def state(self, job_id: int) -> tuple[str, int]:
        job = await self.store.job(ME, job_id)
        return job.state, job.failures


@pytest.fixture
async def ports(place: str) -> AsyncIterator[Ports]:
    if not place:
        shift = [timedelta()]
        memory = MemoryJobs(lambda: trio_now() + shift[0])

        async def age(by: timedelta) -> None:
            shift[0] += by

        yield Ports(memory, memory, age)
        return

    async def age_rows(by: timedelta) -> None:
        await as_owner(place, "UPDATE jobs SET finished_at = finished_at - $1::interval", by)

    async with opened(place) as open_database:
        queue = PostgresJobQueue(await open_database("waypost_aggregator"))
        yield Ports(queue, PostgresJobStore(await open_database("waypost_app")), age_rows)


async def test_a_job_is_claimed_once_as_it_was_enqueued(ports: Ports) -> None:
    job_id = await ports.add("b", payload={"n": [1, "ü", None]}, profile_id=7, unique_key="k")
    assert await ports.claim(kinds=["a"]) == []
    (job,) = await ports.claim("me")
    assert await ports.claim() == []
    assert (job.id, job.kind, job.queue, job.payload) == (
        job_id,
        "b",
        "default",
        {"n": [1, "ü", None]},
    )
    assert (job.tenant_id, job.profile_id, job.unique_key) == (1, 7, "k")
    assert (job.state, job.attempt, job.failures, job.worker) == ("running", 1, 0, "me")
    assert job.started_at is not None
    assert max(job.created_at, job.run_at) <= job.started_at
    assert await ports.store.job(ME, job_id) == job


async def test_the_order_is_priority_then_time(ports: Ports) -> None:
    past = datetime(2026, 1, 1, tzinfo=UTC)
    late = await ports.add(run_at=past + timedelta(hours=1), priority=1)
    low = await ports.add(run_at=past, priority=-2)
    high = await ports.add(priority=2)
    early = await ports.add(run_at=past, priority=1)
    await ports.add(delay_s=60, priority=2)
    assert [job.id for job in await ports.claim()] == [high, early, late, low]


async def test_the_job_that_is_due_longest_is_claimed_first(ports: Ports) -> None:
    past = datetime(2026, 1, 1, tzinfo=UTC)
    ids = [await ports.add(run_at=past + timedelta(hours=hours)) for hours in (2, 0, 1)]
    order = []
    for _ in ids:
        (job,) = await ports.queue.claim("w", {"default": 1}, KINDS, 60)
        order.append(job.id)
    assert order == [ids[1], ids[2], ids[0]]


async def test_no_job_is_claimed_before_it_is_due(ports: Ports) -> None:
    """Times are compared and not waited for, so it does not matter how long the machine takes."""
    for delay_s in (0.0, 0.3, 0.6, 1.2):
        await ports.add(delay_s=delay_s)
    claimed = await ports.claim()
    assert claimed
    for job in claimed:
        assert job.started_at is not None
        assert job.run_at <= job.started_at


async def test_each_queue_gives_up_to_its_capacity(ports: Ports) -> None:
    for priority in (0, 1, 2):
        await ports.add(queue="mail", priority=priority)
    await ports.add()
    await ports.add(queue="elsewhere")
    first, second = await ports.claim(), await ports.claim()
    assert sorted(job.queue for job in first) == ["default", "mail", "mail"]
    assert [(job.queue, job.priority) for job in second] == [("mail", 0)]


async def test_a_unique_key_is_taken_while_its_job_is_queued_or_running(ports: Ports) -> None:
    draft = JobDraft(kind="a", unique_key="k", tenant_id=1)
    others = [
        JobDraft(kind="b", unique_key="k", tenant_id=1),
        JobDraft(kind="a", unique_key="k", tenant_id=2),
        JobDraft(kind="a", unique_key="l", tenant_id=1),
        JobDraft(kind="a", tenant_id=1),
    ]
    (first,) = await ports.queue.enqueue([draft])
    assert await ports.queue.enqueue([draft, draft]) == [(first.job_id, False)] * 2
    assert all(result.created for result in await ports.queue.enqueue(others))
    (job,) = [job for job in await ports.claim() if job.id == first.job_id]
    assert (await ports.queue.enqueue([draft]))[0] == (first.job_id, False)
    await ports.queue.end([AttemptEnd(job.lease, "failed")])
    assert (await ports.queue.enqueue([draft]))[0] == (first.job_id, False)
    (job,) = await ports.claim()
    await ports.queue.end([AttemptEnd(job.lease, "succeeded")])
    assert (await ports.queue.enqueue([draft]))[0].created


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        ("succeeded", ("succeeded", 0)),
        ("failed", ("queued", 1)),
        ("dead", ("dead", 1)),
        ("snoozed", ("queued", 0)),
        ("returned", ("queued", 0)),
        ("cancelled", ("cancelled", 0)),
    ],
)
@pytest.mark.parametrize("cancel", [False, True])
async def test_an_outcome_sets_the_jobs_state(
    ports: Ports, outcome: Any, state: tuple[str, int], cancel: bool
) -> None:
    job = await ports.running()
    if cancel:
        assert (await ports.store.cancel(ME, job.id)).cancel_requested
    ending = AttemptEnd(job.lease, outcome, 60.0 if outcome != "returned" else 0.0, "why")
    assert await ports.queue.end([ending]) == {job.lease}
    expected = ("cancelled", state[1]) if cancel and outcome != "succeeded" else state
    assert await ports.state(job.id) == expected
    ended = await ports.store.job(ME, job.id)
    assert ended.last_error == "why"
    assert (ended.finished_at is None) == (ended.state == "queued")
    assert len(await ports.claim()) == (ended.state == "queued" and outcome == "returned")
    # An attempt ends once.
    assert await ports.queue.end([ending]) == set()


async def test_enough_failures_kill_and_a_returned_attempt_is_no_failure(ports: Ports) -> None:
    job = await ports.running(max_attempts=2)
    for outcome, state in [
        ("returned", "queued"), ("failed", "queued"), ("snoozed", "queued"), ("failed", "dead"),
    ]:  # fmt: skip
        assert await ports.queue.end([AttemptEnd(job.lease, outcome, 0.0, outcome)]) == {job.lease}  # type: ignore[arg-type]
        assert (await ports.store.job(ME, job.id)).state == state
        if state == "queued":
            (job,) = await ports.claim()
    assert (job.attempt, await ports.state(job.id)) == (4, ("dead", 2))
    retried = await ports.store.retry(ME, job.id)
    assert (retried.state, retried.failures, retried.attempt) == ("queued", 0, 4)
    (again,) = await ports.claim()
    assert again.attempt == 5


async def test_a_stale_lease_changes_nothing(ports: Ports) -> None:
    old = await ports.running()
    assert await ports.queue.release("w", died=True) == 1
    (new,) = await ports.claim("other")
    assert new.attempt == 2
    assert new.last_error
    effects = []

    async def effect(_: Any) -> None:
        effects.append(1)

    with pytest.raises(StaleLeaseError):
        await ports.queue.finish_with(old.lease, effect)
    assert await ports.queue.heartbeat([Heartbeat(old.lease)], 60) == {}
    assert set(await ports.queue.heartbeat([Heartbeat(new.lease)], 60)) == {new.lease}
    assert await ports.queue.end(
        [AttemptEnd(old.lease, "failed"), AttemptEnd(new.lease, "returned")]
    ) == {new.lease}
    assert await ports.queue.heartbeat([Heartbeat(old.lease)], 60) == {}
    assert (effects, await ports.state(old.id)) == ([], ("queued", 1))


async def test_an_effect_commits_with_the_end_or_not_at_all(ports: Ports) -> None:
    job = await ports.running()

    async def breaks(_: Any) -> None:
        raise ValueError("no")

    async def works(_: Any) -> str:
        return "done"

    with pytest.raises(ValueError, match="no"):
        await ports.queue.finish_with(job.lease, breaks)
    assert (await ports.store.job(ME, job.id)).state == "running"
    assert await ports.queue.finish_with(job.lease, works) == "done"
    assert (await ports.store.job(ME, job.id)).state == "succeeded"
    with pytest.raises(StaleLeaseError):
        await ports.queue.finish_with(job.lease, works)


async def test_a_heartbeat_returns_leases_and_cancel_requests(ports: Ports) -> None:
    for _ in range(2):
        await ports.add()
    first, second = await ports.claim()
    await ports.store.cancel(ME, second.id)
    unknown = Lease(1, 999, 1, first.lease.started_at)
    cancel_requests = await ports.queue.heartbeat(
        [Heartbeat(first.lease, (3, 10)), Heartbeat(second.lease), Heartbeat(unknown)], 60
    )
    assert cancel_requests == {first.lease: False, second.lease: True}
    assert (await ports.store.job(ME, first.id)).progress == (3, 10)
    assert (await ports.store.job(ME, second.id)).progress is None


async def test_only_jobs_without_a_heartbeat_are_rescued(ports: Ports) -> None:
    for _ in range(2):
        await ports.add(max_attempts=1)
    await ports.add(max_attempts=2)
    dead, alive, retried = await ports.queue.claim("w", CAPACITY, KINDS, 0.0)
    assert await ports.queue.heartbeat([Heartbeat(alive.lease)], 60) == {alive.lease: False}
    assert await ports.queue.rescue() == 2
    assert await ports.state(dead.id) == ("dead", 1)
    assert await ports.state(alive.id) == ("running", 0)
    assert await ports.state(retried.id) == ("queued", 1)
    assert await ports.queue.rescue() == 0


async def test_a_lost_job_with_a_cancel_request_is_cancelled(ports: Ports) -> None:
    await ports.add()
    (job,) = await ports.queue.claim("w", CAPACITY, KINDS, 0.0)
    await ports.store.cancel(ME, job.id)
    assert await ports.queue.rescue() == 1
    assert await ports.state(job.id) == ("cancelled", 1)


async def test_release_requeues_one_workers_jobs(ports: Ports) -> None:
    first = await ports.running(max_attempts=1)
    await ports.add()
    (second,) = await ports.claim("other")
    assert await ports.queue.release("w", died=False) == 1
    assert await ports.state(first.id) == ("queued", 0)
    assert await ports.state(second.id) == ("running", 0)
    assert await ports.queue.release("other", died=True) == 1
    assert await ports.state(second.id) == ("queued", 1)


async def test_callers_see_and_change_their_tenants_jobs_only(ports: Ports) -> None:
    job_id = await ports.add()
    await ports.queue.enqueue([JobDraft(kind="system")])
    assert (await ports.store.list_jobs(OTHER, JobFilter(), 0, 10)).items == []
    for call in (ports.store.job, ports.store.cancel, ports.store.retry):
        with pytest.raises(NotFoundError):
            await call(OTHER, job_id)
        with pytest.raises(ForbiddenError):
            await call(ME._replace(scopes=()), job_id)
    assert [job.id for job in (await ports.store.list_jobs(ME, JobFilter(), 0, 10)).items] == [
        job_id
    ]
    with pytest.raises(ForbiddenError):
        await ports.store.cancel(ME._replace(scopes=("read",)), job_id)


async def test_a_list_has_filters_and_pages(ports: Ports) -> None:
    ids = [await ports.add(kind) for kind in "abab"]
    await ports.store.cancel(ME, ids[0])
    page = await ports.store.list_jobs(ME, JobFilter(), 0, 3)
    assert [job.id for job in page.items] == [ids[3], ids[2], ids[1]]
    rest = await ports.store.list_jobs(ME, JobFilter(), page.next_after or 0, 3)
    assert ([job.id for job in rest.items], rest.next_after) == ([ids[0]], None)
    filtered = await ports.store.list_jobs(ME, JobFilter("queued", "a"), 0, 3)
    assert [job.id for job in filtered.items] == [ids[2]]


async def test_an_ended_job_is_neither_cancelled_nor_retried(ports: Ports) -> None:
    job_id = await ports.add()
    with pytest.raises(ConflictError, match="queued is not one that can be retried"):
        await ports.store.retry(ME, job_id)
    (job,) = await ports.claim()
    with pytest.raises(ConflictError, match="running is not"):
        await ports.store.retry(ME, job_id)
    await ports.queue.end([AttemptEnd(job.lease, "succeeded")])
    for call in (ports.store.cancel, ports.store.retry):
        with pytest.raises(ConflictError, match="a job that is succeeded"):
            await call(ME, job_id)


async def test_a_retry_ends_the_wait_but_yields_to_a_newer_job(ports: Ports) -> None:
    waiting = await ports.running()
    await ports.queue.end([AttemptEnd(waiting.lease, "failed", 3600)])
    assert await ports.claim() == []
    await ports.store.retry(ME, waiting.id)
    assert [job.id for job in await ports.claim()] == [waiting.id]
    old = await ports.add("b", unique_key="k")
    await ports.store.cancel(ME, old)
    await ports.add("b", unique_key="k")
    with pytest.raises(ConflictError, match="must not be that of another queued or running job"):
        await ports.store.retry(ME, old)


async def test_a_due_time_is_enqueued_once(ports: Ports) -> None:
    due = datetime(2026, 3, 1, tzinfo=UTC)
    drafts = [JobDraft(kind=kind, unique_key="periodic") for kind in "ab"]

    async def schedule(*times: datetime) -> int:
        return await ports.queue.schedule(lambda _: list(zip(times, drafts, strict=False)))

    assert await schedule(due, due) == 2
    assert await schedule(due, due) == 0
    assert await schedule(due - timedelta(hours=1)) == 0
    # The earlier job has not run yet, so its unique key prevents a second one.
    assert await schedule(due + timedelta(hours=1)) == 0
    for job in await ports.claim():
        await ports.queue.end([AttemptEnd(job.lease, "succeeded")])
    assert await schedule(due + timedelta(hours=1)) == 0
    assert await schedule(due + timedelta(hours=2), due) == 1


async def test_queue_metrics_count_waiting_jobs(ports: Ports) -> None:
    assert await ports.queue.queue_metrics() == ([], 0)
    dead = await ports.running()
    await ports.queue.end([AttemptEnd(dead.lease, "dead")])
    await ports.running(queue="mail")
    await ports.add(run_at=datetime(2026, 1, 1, tzinfo=UTC) - timedelta(days=1))
    await ports.add()
    await ports.add(delay_s=60)
    (default, mail), count = await ports.queue.queue_metrics()
    assert (default.queue, default.ready, default.queued, default.running) == ("default", 2, 3, 0)
    assert default.oldest_s >= 86_400
    assert mail == ("mail", 0, 0, 1, 0.0)
    assert count == 1


async def test_ended_jobs_are_kept_for_days_and_dead_ones_four_times_as_long(ports: Ports) -> None:
    ended: dict[str, int] = {}
    for outcome in ("succeeded", "cancelled", "dead"):
        job = await ports.running()
        await ports.queue.end([AttemptEnd(job.lease, outcome)])
        ended[outcome] = job.id
    running = await ports.running()
    waiting = await ports.add()
    days = 7
    # Hours before and after the end of each retention, one after the other.
    purged = []
    for age_h in (days * 24 - 1, 2, days * 3 * 24 - 2, 2):
        await ports.age(timedelta(hours=age_h))
        await ports.queue.purge(days)
        left = {job.id for job in (await ports.store.list_jobs(ME, JobFilter(), 0, 9)).items}
        purged.append({outcome for outcome, id_ in ended.items() if id_ not in left})
        assert {waiting, running.id} <= left
    both = {"succeeded", "cancelled"}
    assert purged == [set(), both, both, both | {"dead"}]
