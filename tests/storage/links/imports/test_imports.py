"""Imports of files: what is kept of one, who may see it, and how one that was broken off goes on."""

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
import trio

from engine.accounts.access import Caller
from engine.common.errors import (
    ConflictError,
    ForbiddenError,
    NotFoundError,
    StaleLeaseError,
    TooSoonError,
)
from engine.jobs.job import AttemptEnd, SnoozeError
from engine.links.imports.link_import import (
    MAX_KEPT_REJECTS,
    MAX_OPEN_IMPORTS,
    ImportEnd,
    ImportStep,
    ImportWishes,
    RowCounts,
)
from engine.links.imports.row_error import RowReject
from engine.links.ports import ImportRow
from engine.links.profile import Profile, ProfileDraft
from storage.accounts.keys import ensure_owner
from storage.bridge import in_asyncio
from storage.jobs.jobs import PostgresJobQueue
from storage.jobs.memory_jobs import MemoryJobs
from storage.links.imports.import_rows import PostgresLinkImporter
from storage.links.imports.imports import ImportSweep, PostgresImportSpool, PostgresImportStore
from storage.links.imports.memory_imports import MemoryImports
from storage.links.memory_profiles import MemoryProfiles
from storage.links.profiles import PostgresProfileStore
from storage.postgres.database import Connection, Database
from tests.kit.file_imports import TARGET, ImportStores, claimed
from tests.kit.hosted import hosted_run
from tests.kit.stores import FAST, OpenDatabase, opened, second_owner

pytestmark = pytest.mark.trio(run=hosted_run)
FILE = f"slug,target\na,{TARGET}\nb,{TARGET}\n".encode()


@pytest.fixture
async def stores(place: str) -> AsyncIterator[ImportStores]:
    if not place:
        profiles, jobs = MemoryProfiles(), MemoryJobs()
        memory = MemoryImports(profiles, jobs)
        yield ImportStores(profiles, profiles, memory, memory, jobs, Caller(1, 1), Caller(2, 2))
        return
    async with opened(place) as open_database:
        yield (await postgres_stores(open_database))._replace(other=await second_owner(place))


async def postgres_stores(open_database: OpenDatabase) -> ImportStores:
    app = await open_database("waypost_app")
    owner = await ensure_owner(app, "owner@example.com", FAST)
    assert owner is not None
    return ImportStores(
        PostgresProfileStore(app),
        PostgresLinkImporter(app),
        PostgresImportStore(app),
        PostgresImportSpool(app),
        PostgresJobQueue(await open_database("waypost_aggregator")),
        owner.caller,
        owner.caller,
    )


@pytest.fixture
async def ada(stores: ImportStores) -> Profile:
    return await stores.profiles.create_profile(stores.caller, ProfileDraft(handle="ada"))


async def test_an_import_goes_from_its_chunks_to_its_counts(
    stores: ImportStores, ada: Profile
) -> None:
    wishes: dict[str, Any] = {"columns": {"target": "target"}, "if_exists": "reject"}
    sent = await stores.sent(ada.id, FILE[:10], FILE[10:], **wishes)
    waiting = await stores.read(sent)
    assert (waiting.state, waiting.size, waiting.chunks) == ("queued", len(FILE), 2)
    assert (waiting.wishes, waiting.total) == (ImportWishes(**wishes), None)
    await stores.run()
    done = await stores.read(sent)
    assert (done.state, done.counts, done.total) == ("succeeded", RowCounts(created=2), 2)
    assert done.finished_at is not None
    again = await stores.sent(ada.id, FILE)
    page = await stores.imports.list_imports(stores.caller, ada.id, 0, 1)
    assert [each.id for each in page.items] == [again.id]
    page = await stores.imports.list_imports(stores.caller, ada.id, page.next_after or 0, 1)
    assert ([each.id for each in page.items], page.next_after) == ([sent.id], None)


async def test_a_tenants_open_imports_are_bounded(stores: ImportStores, ada: Profile) -> None:
    begun = [await stores.sent(ada.id, FILE) for _ in range(MAX_OPEN_IMPORTS - 1)]
    arriving = await stores.imports.begin(stores.caller, ada.id, ImportWishes())
    with pytest.raises(TooSoonError, match="have not ended"):
        await stores.imports.begin(stores.caller, ada.id, ImportWishes())
    theirs = await stores.profiles.create_profile(stores.other, ProfileDraft(handle="theirs"))
    await stores.imports.begin(stores.other, theirs.id, ImportWishes())
    await stores.imports.discard(stores.caller, arriving)
    await stores.sent(ada.id, FILE)
    await stores.imports.cancel(stores.caller, ada.id, begun[0].id)
    await stores.sent(ada.id, FILE)


@pytest.mark.slow
@pytest.mark.parametrize("place", ["postgres"], indirect=True)
async def test_imports_that_begin_at_once_stay_within_the_bound(
    stores: ImportStores, ada: Profile
) -> None:
    refused = 0

    async def begin() -> None:
        nonlocal refused
        try:
            await stores.imports.begin(stores.caller, ada.id, ImportWishes())
        except TooSoonError:
            refused += 1

    async with trio.open_nursery() as nursery:
        for _ in range(MAX_OPEN_IMPORTS + 5):
            nursery.start_soon(begin)
    assert refused == 5


async def test_a_stranger_sees_no_import(stores: ImportStores, ada: Profile) -> None:
    sent = await stores.sent(ada.id, b"slug,target\nx,javascript:1\n")
    await stores.run()
    theirs = await stores.profiles.create_profile(stores.other, ProfileDraft(handle="theirs"))
    for profile_id in (ada.id, theirs.id):
        for call in (
            stores.imports.link_import(stores.other, profile_id, sent.id),
            stores.imports.list_rejects(stores.other, profile_id, sent.id, 0, 9),
            stores.imports.cancel(stores.other, profile_id, sent.id),
        ):
            with pytest.raises(NotFoundError):
                await call
    for change in (
        stores.imports.begin(stores.other, ada.id, ImportWishes()),
        stores.imports.list_imports(stores.other, ada.id, 0, 9),
        stores.imports.add_chunk(stores.other, sent, 9, b"x"),
        stores.imports.start(stores.other, sent, size=1, chunks=1),
        stores.imports.discard(stores.other, sent),
    ):
        with pytest.raises(NotFoundError):
            await change
    reader = stores.caller._replace(scopes=("read",))
    with pytest.raises(ForbiddenError):
        await stores.imports.begin(reader, ada.id, ImportWishes())
    with pytest.raises(ForbiddenError):
        await stores.imports.cancel(reader, ada.id, sent.id)
    assert len((await stores.imports.list_rejects(reader, ada.id, sent.id, 0, 9)).items) == 1


async def test_rejected_rows_are_listed_by_line(stores: ImportStores, ada: Profile) -> None:
    rows = "".join(f"s{n},javascript:{n}\n" for n in range(5))
    sent = await stores.sent(ada.id, f"slug,target\na,{TARGET}\na,{TARGET}2\n{rows}".encode())
    await stores.run()
    assert (await stores.read(sent)).counts == RowCounts(created=1, rejected=6)
    lines: list[RowReject] = []
    after: int | None = 0
    while after is not None:
        page = await stores.imports.list_rejects(stores.caller, ada.id, sent.id, after, 4)
        lines, after = lines + page.items, page.next_after
    assert lines[0] == RowReject(3, "slug 'a' of ada is that of line 2, too", 2)
    assert [reject.line for reject in lines] == [3, 4, 5, 6, 7, 8]
    assert all("target" in reject.reason for reject in lines[1:])


async def test_only_the_newest_attempt_writes(stores: ImportStores, ada: Profile) -> None:
    sent = await stores.sent(ada.id, FILE)
    (first,) = await claimed(stores.queue)
    old = await stores.spool.open(first)
    await stores.give_back(first)
    (second,) = await claimed(stores.queue)
    new = await stores.spool.open(second)
    assert old is not None
    assert new is not None
    assert new.attempt > old.attempt
    step = ImportStep(RowCounts(created=1), 2, 2, [])
    await stores.spool.save_step(new, step)
    with pytest.raises(StaleLeaseError):
        await stores.spool.save_step(old, step._replace(counts=RowCounts(created=9)))
    with pytest.raises(StaleLeaseError):
        await stores.spool.open(first)

    async def note(connection: Any, _: Any) -> None:
        await stores.spool.write_step(connection, old, step)

    row = ImportRow(2, "ada", "a", TARGET, "")
    with pytest.raises(StaleLeaseError):
        await stores.importer.import_rows(old.caller, [row], note=note)
    assert (await stores.profiles.list_links(stores.caller, ada.id, 0, 9)).items == []
    assert (await stores.read(sent)).counts == RowCounts(created=1)


async def test_kept_rejects_are_bounded(stores: ImportStores, ada: Profile) -> None:
    sent = await stores.sent(ada.id, FILE)
    (job,) = await claimed(stores.queue)
    task = await stores.spool.open(job)
    assert task is not None
    for start in (1, 8_001):
        rejects = [RowReject(line, "x\x00\ud800" * 700) for line in range(start, start + 8_000)]
        counts = RowCounts(rejected=start + 7_999)
        await stores.spool.save_step(task, ImportStep(counts, start + 7_999, 16_000, rejects))
    assert (await stores.read(sent)).counts.rejected == 16_000
    kept = await stores.imports.list_rejects(stores.caller, ada.id, sent.id, 9_998, 9)
    assert [reject.line for reject in kept.items] == [9_999, MAX_KEPT_REJECTS]
    assert len((await stores.spool.open(job) or task).rejected_lines) == MAX_KEPT_REJECTS


async def test_an_import_waits_for_an_earlier_one_of_its_tenant(
    stores: ImportStores, ada: Profile
) -> None:
    for _ in range(2):
        await stores.sent(ada.id, FILE)
    first, second = await claimed(stores.queue)
    with pytest.raises(SnoozeError):
        await stores.spool.open(second)
    assert await stores.spool.open(first) is not None
    await stores.queue.finish_with(first.lease, stores.spool.end_writer(first, ImportEnd()))
    assert await stores.spool.open(second) is not None


async def test_a_cancelled_import_loses_its_file_and_one_that_ended_stays(
    stores: ImportStores, ada: Profile
) -> None:
    sent = await stores.sent(ada.id, FILE)
    assert (await stores.imports.cancel(stores.caller, ada.id, sent.id)).state == "cancelled"
    with pytest.raises(ConflictError, match="ended"):
        await stores.imports.cancel(stores.caller, ada.id, sent.id)
    running = await stores.sent(ada.id, FILE)
    (job,) = await claimed(stores.queue)
    task = await stores.spool.open(job)
    assert task is not None
    assert (await stores.imports.cancel(stores.caller, ada.id, running.id)).state == "running"
    assert await stores.spool.chunk(task, 0) == FILE
    await stores.queue.finish_with(job.lease, stores.spool.end_writer(job, ImportEnd()))
    assert await stores.spool.chunk(task, 0) is None


async def test_an_import_that_is_given_up_says_why(stores: ImportStores, ada: Profile) -> None:
    sent = await stores.sent(ada.id, FILE)
    (job,) = await claimed(stores.queue)
    await stores.queue.end([AttemptEnd(job.lease, "failed", 0, "the disk is full")])
    assert (await stores.read(sent)).error == ""
    (job,) = await claimed(stores.queue)
    await stores.queue.end([AttemptEnd(job.lease, "dead", 0, "the disk is full")])
    failed = await stores.read(sent)
    assert (failed.state, failed.error) == ("failed", "the disk is full")


async def test_the_import_of_a_deleted_profile_is_gone(stores: ImportStores, ada: Profile) -> None:
    await stores.sent(ada.id, FILE)
    (job,) = await claimed(stores.queue)
    task = await stores.spool.open(job)
    assert task is not None
    await stores.profiles.delete_profile(stores.caller, ada.id)
    assert await stores.spool.open(job) is None
    await stores.queue.finish_with(job.lease, stores.spool.end_writer(job, ImportEnd()))


@pytest.mark.slow
async def test_the_sweep_deletes_files_that_nobody_imports(database_url: str) -> None:
    async with opened(database_url) as open_database:
        stores = await postgres_stores(open_database)
        aggregator = await open_database("waypost_aggregator")
        ada = await stores.profiles.create_profile(stores.caller, ProfileDraft(handle="ada"))
        running, unsent = (
            await stores.sent(ada.id, FILE),
            await stores.imports.begin(stores.caller, ada.id, ImportWishes()),
        )
        await stores.imports.add_chunk(stores.caller, unsent, 0, FILE)
        (job,) = await claimed(stores.queue)
        await stores.spool.open(job)
        await stores.imports.cancel(stores.caller, ada.id, running.id)
        sweep = ImportSweep(aggregator).sweep
        await sweep()
        assert await _chunks(aggregator) == 2
        await stores.queue.release("worker", died=False)
        await in_asyncio(_age_all, database_url)
        await sweep()
        assert await _chunks(aggregator) == 0
        assert (await stores.read(running)).state == "cancelled"
        await stores.queue.purge(7)
        with pytest.raises(NotFoundError):
            await stores.read(running)


async def _age_all(url: str) -> None:
    """Let all imports and jobs be nine days old."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(
            "UPDATE waypost.link_imports SET created_at = now() - interval '9 days';"
            "UPDATE waypost.jobs SET finished_at = now() - interval '9 days'"
        )
    finally:
        await connection.close()


async def _chunks(database: Database) -> int:
    async def work(connection: Connection) -> int:
        return int(await connection.fetchval("SELECT count(*) FROM link_import_chunks"))

    return await database.transaction(work)
