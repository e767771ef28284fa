"""The click ledger's contract, in memory and on Postgres, and failures of Postgres alone."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from operator import methodcaller
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import asyncpg
import pytest
import trio

from engine.accounts.access import Caller
from engine.clicks.click import RULES_VERSION_SHIFT, Click, ClickKind, VisitorClass
from engine.clicks.copy_rows import user_agent_id
from engine.clicks.record_items import HOST, PLACE, TRIGGER, UTM, item
from engine.clicks.record_layout import FormatError
from engine.clicks.rollup import RollupCounts, RollupKey, rollup_counts
from engine.common.errors import StaleLeaseError, UnavailableError
from engine.stats.ledger_ports import ClickLedger, JournalLease
from storage.clicks.ledger import TEXTS_S, PostgresClickLedger
from storage.clicks.memory_ledger import MemoryClickLedger
from storage.clicks.partitions import Partitions
from storage.postgres.database import Connection, Database
from storage.stats.memory_click_tables import MemoryClickTables
from tests.kit.hosted import hosted_run
from tests.kit.midnight import wait_past_midnight
from tests.kit.packed_counts import rollups_of_deltas
from tests.kit.shipped_batches import NOW_US, batch, click, counted

pytestmark = [pytest.mark.trio(run=hosted_run), pytest.mark.slow]

TEN = [click(link_id=5 + n % 2, user_agent=b"agent %d" % (n % 3)) for n in range(10)]


class Bench(NamedTuple):
    """A ledger and queries of its tables; `database` is None in memory."""

    ledger: ClickLedger
    counts: MemoryClickTables
    database: Database | None

    async def raw(self) -> int:
        if self.database is None:
            return len(self.counts.clicks)
        return int(await fetchval(self.database, "SELECT count(*) FROM clicks"))

    async def rollups(self) -> dict[RollupKey, RollupCounts]:
        if self.database is None:
            return dict(rollup_counts(self.counts.deltas))
        return await self.database.transaction(rollups_of_deltas)

    async def leased(self, owner: str = "one", ttl_s: float = 60) -> JournalLease:
        """Register a journal and return its lease."""
        await self.ledger.register(uuid4())
        (lease,) = await self.ledger.lease(owner, 1, ttl_s)
        return lease


async def fetchval(database: Database, query: str, *values: Any) -> Any:
    return await database.transaction(lambda connection: connection.fetchval(query, *values))


@pytest.fixture(params=["memory", "postgres"])
def url(request: pytest.FixtureRequest) -> str | None:
    return request.getfixturevalue("database_url") if request.param == "postgres" else None


@pytest.fixture
async def bench(url: str | None) -> AsyncIterator[Bench]:
    counts = MemoryClickTables()
    if url is None:
        yield Bench(MemoryClickLedger(counts, trio.current_time), counts, None)
        return
    database = await opened(url, "waypost_aggregator")
    yield Bench(PostgresClickLedger(database), counts, database)
    await database.close()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = await opened(database_url, "waypost_aggregator")
    yield database
    await database.close()


async def opened(url: str, role: Any) -> Database:
    return await Database.open(url, role=role, size=4, query_timeout_ms=5_000)


def sums(clicks: Iterable[Click]) -> dict[RollupKey, RollupCounts]:
    return dict(rollup_counts(clicks))


async def test_registering_makes_the_row_once(bench: Bench) -> None:
    journal_id = uuid4()
    assert await bench.ledger.watermark(journal_id) is None
    assert await bench.ledger.register(journal_id) == 0
    assert await counted(bench.ledger, journal_id) == 0
    (lease,) = await bench.ledger.lease("one", 9, 60)
    await bench.ledger.commit(lease, [batch(1, TEN)])
    assert await bench.ledger.register(journal_id) == 10
    assert await counted(bench.ledger, journal_id) == 10


async def test_a_commit_stores_counts_and_moves(bench: Bench) -> None:
    mixed = [
        *TEN,
        click(link_id=0, kind=ClickKind.VIEW),
        click(verdict=VisitorClass.BOT | 1 << RULES_VERSION_SHIFT),
        click(link_id=0, kind=ClickKind.VIEW, verdict=VisitorClass.PREVIEW),
        click(verdict=VisitorClass.HEAD),
        click(verdict=VisitorClass.TOOL | 1 << RULES_VERSION_SHIFT),
        click(at_us=NOW_US + 900_000_000),
    ]
    lease = await bench.leased()
    moved = await bench.ledger.commit(lease, [batch(1, mixed[:4]), batch(5, mixed[4:])])
    assert moved == lease._replace(folded=16)
    assert await counted(bench.ledger, lease.journal_id) == 16
    assert await bench.raw() == 16
    assert await bench.rollups() == sums(mixed)


async def test_a_batch_shipped_twice_is_counted_once(bench: Bench) -> None:
    lease = await bench.leased()
    first = await bench.ledger.commit(lease, [batch(1, TEN)])
    again = await bench.ledger.commit(first, [batch(1, TEN), batch(1, TEN)])
    assert again == first
    assert await bench.raw() == 10
    assert await bench.rollups() == sums(TEN)


@pytest.mark.parametrize("cut", range(1, 10))
async def test_an_overlapping_batch_is_sliced(bench: Bench, cut: int) -> None:
    lease = await bench.leased()
    lease = await bench.ledger.commit(lease, [batch(1, TEN[:cut])])
    whole = batch(1, TEN)
    tail = batch(cut, TEN[cut - 1 :] + TEN[:2])
    lease = await bench.ledger.commit(lease, [whole, tail])
    assert lease.folded == 12
    assert await bench.rollups() == sums([*TEN, *TEN[:2]])


async def test_a_gap_is_refused(bench: Bench) -> None:
    lease = await bench.leased()
    for batches in ([batch(2, TEN)], [batch(1, TEN), batch(12, TEN)]):
        with pytest.raises(ValueError, match="missing"):
            await bench.ledger.commit(lease, batches)
    with pytest.raises(ValueError, match="missing"):
        await bench.ledger.dead_letter(lease, batch(2, TEN), "gap")
    assert await counted(bench.ledger, lease.journal_id) == 0
    assert await bench.raw() == 0


async def test_a_lease_that_was_taken_over_commits_nothing_more(bench: Bench) -> None:
    stale = await bench.leased("one", ttl_s=0)
    (lease,) = await bench.ledger.lease("two", 1, 60)
    assert lease.fencing_token > stale.fencing_token
    assert lease == stale._replace(fencing_token=lease.fencing_token)
    with pytest.raises(StaleLeaseError):
        await bench.ledger.commit(stale, [batch(1, TEN)])
    with pytest.raises(StaleLeaseError):
        await bench.ledger.dead_letter(stale, batch(1, TEN), "stale")
    assert await bench.raw() == 0
    assert (await bench.ledger.commit(lease, [batch(1, TEN)])).folded == 10


async def test_an_expired_lease_without_a_new_holder_still_commits(bench: Bench) -> None:
    lease = await bench.leased("one", ttl_s=0)
    assert (await bench.ledger.commit(lease, [batch(1, TEN)])).folded == 10


async def test_of_two_commits_of_one_lease_exactly_one_wins(bench: Bench) -> None:
    lease = await bench.leased()
    outcomes: Counter[str] = Counter()

    async def commit(count: int) -> None:
        try:
            await bench.ledger.commit(lease, [batch(1, TEN[:count])])
            outcomes["won"] += count
        except StaleLeaseError:
            outcomes["lost"] += 1

    async with trio.open_nursery() as nursery:
        for count in (3, 7, 10):
            nursery.start_soon(commit, count)
    assert outcomes["lost"] == 2
    assert await bench.raw() == outcomes["won"]
    (again,) = await bench.ledger.lease("one", 1, 60)
    assert again == lease._replace(folded=outcomes["won"])


async def test_a_damaged_batch_commits_nothing_and_can_be_dead_lettered(bench: Bench) -> None:
    lease = await bench.leased()
    damaged = batch(11, TEN)
    damaged = damaged._replace(payload=damaged.payload[:-1] + b"\0")
    with pytest.raises(FormatError):
        await bench.ledger.commit(lease, [batch(1, TEN), damaged])
    assert await bench.raw() == 0
    lease = await bench.ledger.commit(lease, [batch(1, TEN)])
    lease = lease
    lease = await bench.ledger.dead_letter(lease, damaged, "checksum")
    assert await bench.ledger.dead_letter(lease, damaged, "checksum") == lease
    lease = await bench.ledger.commit(lease, [batch(21, TEN)])
    assert lease.folded == 30
    assert await bench.raw() == 20
    if bench.database is not None:
        query = "SELECT payload FROM dead_letter_batches WHERE first = 11 AND last = 20"
        assert await fetchval(bench.database, query) == damaged.payload


@pytest.mark.parametrize("at_us", [-(2**63), -1, 0, 4_000_000_000_000_000, 2**63 - 1])
async def test_a_strange_clock_or_text_is_counted(bench: Bench, at_us: int) -> None:
    lease = await bench.leased()
    strange = click(at_us=at_us, user_agent=b"\0\xff", referrer=b"\xc3", language=b"\0")
    await bench.ledger.commit(lease, [batch(1, [strange, click()])])
    assert await bench.raw() == 2
    assert sum(counts[0] for counts in (await bench.rollups()).values()) == 2


async def test_leases_are_renewed_acquired_when_free_and_bounded(bench: Bench) -> None:
    journals = sorted([uuid4() for _ in range(5)])
    for journal_id in journals:
        await bench.ledger.register(journal_id)
    first = await bench.ledger.lease("one", 3, 60)
    second = await bench.ledger.lease("two", 9, 60)
    assert [len(first), len(second)] == [3, 2]
    assert sorted(lease.journal_id for lease in first + second) == journals
    assert sorted(await bench.ledger.lease("one", 9, 60)) == sorted(first)
    assert len(await bench.ledger.lease("one", 2, 60)) == 2
    assert await bench.ledger.lease("three", 9, 60) == []


async def test_a_released_lease_is_free_at_once(bench: Bench) -> None:
    lease = await bench.leased("one")
    await bench.ledger.release("one")
    (taken,) = await bench.ledger.lease("two", 9, 60)
    assert taken.fencing_token > lease.fencing_token
    await bench.ledger.release("one")
    assert await bench.ledger.lease("three", 9, 60) == []


async def test_a_deleted_journal_cannot_be_leased(bench: Bench) -> None:
    lease = await bench.leased("one", ttl_s=0)
    lease = await bench.ledger.commit(lease, [batch(1, TEN)])
    await bench.ledger.delete_journal(lease.journal_id)
    await bench.ledger.delete_journal(uuid4())
    assert await bench.ledger.lease("one", 9, 60) == []
    assert await bench.ledger.lease("two", 9, 60) == []
    assert await counted(bench.ledger, lease.journal_id) == 10


class Crashing(Database):
    """A database that loses its connection after the work and before the commit."""

    def __init__(self, inner: Database) -> None:
        self.inner = inner
        self.crashing = True

    async def transaction(self, work: Any, **options: Any) -> Any:
        async def crashing(connection: Connection) -> Any:
            result = await work(connection)
            if self.crashing:
                raise ConnectionResetError("crashed")
            return result

        return await self.inner.transaction(crashing, **options)


async def test_a_crash_before_the_commit_leaves_nothing(database: Database) -> None:
    crashing = Crashing(database)
    bench = Bench(PostgresClickLedger(crashing), MemoryClickTables(), database)
    crashing.crashing = False
    lease = await bench.leased()
    crashing.crashing = True
    with pytest.raises(UnavailableError):
        await bench.ledger.commit(lease, [batch(1, TEN)])
    assert await bench.raw() == 0
    assert await bench.rollups() == {}
    crashing.crashing = False
    await bench.ledger.commit(lease, [batch(1, TEN)])
    assert await bench.raw() == 10
    stored = await database.transaction(
        lambda connection: connection.fetch("SELECT id, text FROM user_agents")
    )
    assert {row["id"]: row["text"] for row in stored} == {
        user_agent_id(f"agent {n}"): f"agent {n}" for n in range(3)
    }


async def test_a_user_agent_is_marked_as_seen_each_day(database: Database) -> None:
    """Otherwise its text would be purged while it is in use."""
    now = 0.0
    ledger = PostgresClickLedger(database, clock=lambda: now)
    bench = Bench(ledger, MemoryClickTables(), database)
    lease = await bench.leased()

    async def count_after_commit(clicks: list[Click]) -> int:
        nonlocal lease
        lease = await ledger.commit(lease, [batch(lease.folded + 1, clicks)])
        return int(
            await fetchval(database, "SELECT count(*) FROM user_agents WHERE seen = current_date")
        )

    assert await count_after_commit(TEN) == 3
    await database.transaction(
        lambda connection: connection.execute("UPDATE user_agents SET seen = '2026-01-01'")
    )
    assert await count_after_commit(TEN) == 0
    now = TEXTS_S + 1
    assert await count_after_commit(TEN[:1]) == 1
    await database.transaction(lambda connection: connection.execute("DELETE FROM user_agents"))
    now *= 3
    assert await count_after_commit(TEN) == 3


async def test_renewing_does_not_wait_for_a_commit_under_way(database: Database) -> None:
    ledger = PostgresClickLedger(database)
    bench = Bench(ledger, MemoryClickTables(), database)
    lease = await bench.leased()
    async with locked(database, lease.journal_id):
        with trio.fail_after(2):
            assert await ledger.lease("one", 9, 60) == [lease]
            assert await ledger.lease("two", 9, 60) == []


@asynccontextmanager
async def locked(database: Database, journal_id: UUID) -> AsyncIterator[None]:
    """Hold the journal's row in another transaction, as a commit does."""
    token = trio.lowlevel.current_trio_token()
    has_lock, release = trio.Event(), asyncio.Event()

    async def hold(connection: Connection) -> None:
        query = "SELECT FROM journals WHERE journal_id = $1 FOR UPDATE"
        await connection.execute(query, journal_id)
        token.run_sync_soon(has_lock.set)
        await release.wait()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(database.transaction, hold)
        await has_lock.wait()
        yield
        release.set()


async def test_a_commit_renews_its_lease(database: Database) -> None:
    bench = Bench(PostgresClickLedger(database), MemoryClickTables(), database)
    lease = await bench.leased("one", ttl_s=60)
    query = "SELECT lease_expires FROM journals"
    before = await fetchval(database, query)
    await bench.ledger.commit(lease, [batch(1, TEN)])
    assert await fetchval(database, query) > before


async def test_two_ledgers_that_count_the_same_links_do_not_deadlock(database: Database) -> None:
    ledgers = [PostgresClickLedger(database), PostgresClickLedger(database)]
    journals = sorted([uuid4(), uuid4()])
    for journal_id in journals:
        await ledgers[0].register(journal_id)
    many = [click(link_id=n * 7 % 50, user_agent=b"a%d" % (n * 3 % 40)) for n in range(400)]

    async def fold_all(ledger: PostgresClickLedger, lease: JournalLease, order: int) -> None:
        for start in range(1, 2001, 400):
            lease = await ledger.commit(lease, [batch(start, many[::order], 50)])

    leases = await ledgers[0].lease("one", 2, 60)
    async with trio.open_nursery() as nursery:
        for ledger, lease, order in zip(ledgers, leases, (1, -1), strict=True):
            nursery.start_soon(fold_all, ledger, lease, order)
    bench = Bench(ledgers[0], MemoryClickTables(), database)
    assert await bench.raw() == 4000
    assert sum(counts[0] for counts in (await bench.rollups()).values()) == 4000


async def test_an_edge_may_only_register_and_read_watermarks(
    database_url: str, database: Database
) -> None:
    edge = await opened(database_url, "waypost_edge")
    ledger = PostgresClickLedger(edge)
    journal_id = uuid4()
    assert await ledger.register(journal_id) == 0
    assert await counted(ledger, journal_id) == 0
    for statement in (
        "UPDATE journals SET folded = 5",
        "INSERT INTO journals (journal_id, folded) VALUES (gen_random_uuid(), 5)",
        "SELECT lease_owner FROM journals",
        "SELECT FROM clicks",
        "SELECT FROM click_deltas",
        "SELECT FROM user_agents",
        "SELECT ensure_click_partitions(1)",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await fetchval(edge, statement)
    await edge.close()


async def test_the_app_sees_its_own_tenant_only(database_url: str, database: Database) -> None:
    bench = Bench(PostgresClickLedger(database), MemoryClickTables(), database)
    both = [click(tenant_id=1), click(tenant_id=2), click(tenant_id=2)]
    await Partitions(database).ensure(1)
    await bench.ledger.commit(await bench.leased(), [batch(1, both)])
    app = await opened(database_url, "waypost_app")
    try:
        for tenant_id, visible in ((1, 1), (2, 2), (3, 0), (None, 0)):
            for table in ("clicks", "click_deltas"):
                query = f"SELECT array_agg(tenant_id) FROM {table}"
                work = methodcaller("fetchval", query)
                caller = None if tenant_id is None else Caller(tenant_id, 1)
                tenant_ids = await app.transaction(work, caller=caller) or []
                rows = visible if table == "clicks" else min(visible, 1)
                assert tenant_ids == [tenant_id] * rows
    finally:
        await app.close()


async def day_rows(database: Database) -> dict[str, int]:
    query = "SELECT tableoid::regclass::text, count(*)::int FROM clicks GROUP BY 1"
    rows = await database.transaction(lambda connection: connection.fetch(query))
    return {row["tableoid"]: row["count"] for row in rows}


async def test_partitions_take_over_rows_of_the_default_partition(database: Database) -> None:
    wait_past_midnight()
    bench = Bench(PostgresClickLedger(database), MemoryClickTables(), database)
    today = datetime.now(UTC)
    days = [today - timedelta(days=400), today, today, today + timedelta(days=1)]
    clicks = [click(at_us=int(day.timestamp() * 1e6)) for day in days]
    lease = await bench.ledger.commit(await bench.leased(), [batch(1, clicks)])
    assert await day_rows(database) == {"clicks_default": 4}
    created = Counter[int]()

    async def ensure() -> None:
        created[await Partitions(database).ensure(2)] += 1

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(ensure)
    assert created == {4: 1, 0: 2}
    assert await Partitions(database).ensure(3) == 1
    await bench.ledger.commit(lease, [batch(5, clicks)])
    assert await day_rows(database) == {
        "clicks_default": 2,
        f"clicks_{days[1]:%Y%m%d}": 4,
        f"clicks_{days[3]:%Y%m%d}": 2,
    }


async def test_every_table_and_partition_forces_row_level_security(database: Database) -> None:
    await Partitions(database).ensure(1)
    query = (
        "SELECT relname FROM pg_class WHERE relnamespace = 'waypost'::regnamespace "
        "AND relkind IN ('r', 'p') AND NOT (relrowsecurity AND relforcerowsecurity)"
    )
    assert await database.transaction(lambda connection: connection.fetch(query)) == []


async def test_a_raw_row_has_all_values_of_its_click(database: Database) -> None:
    ledger = PostgresClickLedger(database)
    await ledger.register(uuid4())
    (lease,) = await ledger.lease("one", 1, 60)
    detailed = click(
        user_agent=b"Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0",
        referrer=b"https://l.instagram.com/",
        language=b"de-AT",
    )._replace(
        visitor_id=b"\xff" * 8,
        items=item(PLACE, b"EU\x1fDE\x1fBY\x1fMunich")
        + item(HOST, b"go.example.com")
        + item(UTM, b"utm_source=ig&utm_content=x%20y")
        + item(TRIGGER, b"\2"),
    )
    await ledger.commit(lease, [batch(1, [detailed, click(user_agent=b"", language=b"")])])
    rows = await database.transaction(
        lambda connection: connection.fetch(
            "SELECT visitor, browser, os, device, referrer_host, source, locale, trigger, continent, "
            "country, region, city, domain, utm_source, utm_medium, utm_content, exposures "
            "FROM clicks ORDER BY sequence"
        )
    )
    assert tuple(rows[0]) == (
        -1, "Firefox", "Linux", "desktop", "l.instagram.com", "Instagram", "de", 2, "EU",
        "DE", "DE-BY", "Munich, DE", "go.example.com", "ig", None, "x y", None,
    )  # fmt: skip
    assert tuple(rows[1]) == (None, None, None, "other", *[None] * 3, 0, *[None] * 9)
