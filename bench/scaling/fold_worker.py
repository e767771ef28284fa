"""Worker process of `python -m bench scale`: ships and folds one journal by the engine's own code.

It reads a line of JSON for each order from stdin and answers with a line of JSON:

| order | does | answers |
|---|---|---|
| `{"fold": shape, "commits": n, "seed": s}` | makes the records of `n` folds | `{"made": n}` |
| `{"go": true}` | ships, reads and commits them, one after the other | a list of FoldSample |
| `{"settle": true}` | settles the deltas of busy days that are over | a SettleSample |
| `{"night": true}` | packs and compacts finished days | a SettleSample |

    python -P -m bench.scaling.fold_worker DATABASE_URL REDIS_URL NAME
"""

import gc
import json
import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple
from uuid import UUID, uuid4

import trio

from actors.clicks.aggregator import MAX_BATCHES
from actors.operations import runtime
from actors.operations.runtime import Stop
from api.processes.fold_selection import select_fold
from bench.kit.errors import BenchError
from bench.scaling.click_records import BatchShape, ClickMaker, FoldContent, batches_of
from engine.clicks.batch import Batch
from engine.stats.ledger_ports import JournalLease
from engine.stats.profile_day import HOT_CLICKS, MAX_DELTAS, ProfileDay
from storage.clicks.ledger import PostgresClickLedger
from storage.clicks.stream import RedisClickStream
from storage.postgres.database import Connection, Database
from storage.redis.client import RedisServer
from storage.stats.compaction import compact
from storage.stats.settling import settle, settle_finished

DAYS_AT_ONCE: Final = 20  # as actors/stats/delta_settler.py settles them
PAST_ALL_S: Final = 86_400.0
_DAYS: Final = """SELECT tenant_id, profile_id, day, sum(clicks)::bigint, count(*) FROM click_deltas
    WHERE day < (clock_timestamp() AT TIME ZONE 'UTC')::date
    GROUP BY 1, 2, 3 HAVING count(*) >= $1 OR sum(clicks) >= $2 ORDER BY 1, 2, 3"""
_CLICKS: Final = """SELECT coalesce(sum(clicks), 0)::bigint, count(DISTINCT (profile_id, day)) FROM (
    SELECT profile_id, day, clicks FROM click_deltas UNION ALL
    SELECT profile_id, day, clicks FROM click_segments WHERE in_tables) AS packed
    WHERE day < (clock_timestamp() AT TIME ZONE 'UTC')::date"""


class CpuClock(NamedTuple):
    """Nanoseconds of a process's first thread by the scheduler: on a core, and waiting for one."""

    busy_ns: int
    waiting_ns: int

    @staticmethod
    def of(pid: int | str) -> "CpuClock":
        busy, waiting, _ = Path(f"/proc/{pid}/schedstat").read_text().split()
        return CpuClock(int(busy), int(waiting))


class FoldSample(NamedTuple):
    """A fold that was measured. Times in s: CPU of shipping, of reading the stream and of the commit in this
    process, CPU of the commit in Postgres' backend; how long the commit took, and how long either waited for
    a core.

    `took_s` is at least what both computed, as they hardly overlap: a worker packs before it sends."""

    content: FoldContent
    batches: int
    ship_s: float
    read_s: float
    worker_s: float
    postgres_s: float
    took_s: float
    no_core_s: float


class SettleSample(NamedTuple):
    """Work of jobs on deltas: clicks and days, CPU seconds here and in the backend."""

    clicks: int
    days: int
    worker_s: float
    postgres_s: float


class FoldWorker:
    def __init__(self, database: Database, redis: RedisServer, name: str) -> None:
        self._database = database
        self._stream = RedisClickStream(redis)
        self._ledger = PostgresClickLedger(database, core=select_fold("auto"))
        self._name = name
        self._made: list[tuple[FoldContent, list[bytes]]] = []
        self._lease = JournalLease(UUID(int=0), 0, 0)
        self._backend = 0

    async def open(self) -> None:
        """Register a journal of its own and lease it."""
        journal = uuid4()
        await self._ledger.register(journal)
        leases = await self._ledger.lease(self._name, 1, PAST_ALL_S)
        if not leases:
            raise BenchError("no journal could be leased")
        self._lease = leases[0]

    async def obey(self, order: dict[str, Any]) -> Any:
        """Do what the order says. Returns its answer."""
        await self._find_backend()
        if "fold" in order:
            maker = ClickMaker(BatchShape(**order["fold"]), order["seed"])
            self._made = [maker.records() for _ in range(order["commits"])]
            # Else a collection now and then would look through these records, which no worker has.
            gc.collect()
            gc.freeze()
            return {"made": len(self._made)}
        if "go" in order:
            samples = [await self._fold(content, records) for content, records in self._made]
            self._made = []
            gc.unfreeze()
            return samples
        return await (self._settle() if "settle" in order else self._night())

    async def _find_backend(self) -> None:
        """Note the process id of the connection, which is another one after a pause (an idle one is closed)."""

        async def pid(connection: Connection) -> int:
            return int(await connection.fetchval("SELECT pg_backend_pid()"))

        self._backend = await self._database.transaction(pid)

    async def _fold(self, content: FoldContent, records: list[bytes]) -> FoldSample:
        journal, first = self._lease.journal_id, self._lease.folded + 1
        batches = batches_of(first, records)
        started = time.process_time()
        previous = self._lease.folded
        for number, batch in enumerate(batches):
            if not await self._stream.add(journal, previous if number or previous else 0, batch):
                raise BenchError("the stream refused a batch")
            previous = batch.last
        shipped = time.process_time()
        read: list[Batch] = []
        while len(read) < len(batches):
            after = read[-1].last if read else self._lease.folded
            read += await self._stream.read(journal, after, MAX_BATCHES, 0)
        ready = time.process_time()
        before = CpuClock.of("self"), CpuClock.of(self._backend), time.perf_counter()
        self._lease = await self._ledger.commit(self._lease, read)
        took_s = time.perf_counter() - before[2]
        committed = time.process_time()
        here, backend = CpuClock.of("self"), CpuClock.of(self._backend)
        waiting_ns = (
            here.waiting_ns - before[0].waiting_ns + backend.waiting_ns - before[1].waiting_ns
        )
        trimming = time.process_time()
        await self._stream.trim(journal, self._lease.folded)
        return FoldSample(
            content, len(batches), shipped - started + time.process_time() - trimming, ready - shipped,
            committed - ready, (backend.busy_ns - before[1].busy_ns) / 1e9, took_s, waiting_ns / 1e9,
        )  # fmt: skip

    async def _settle(self) -> SettleSample:
        async def listed(connection: Connection) -> list[Any]:
            return list(await connection.fetch(_DAYS, MAX_DELTAS, HOT_CLICKS))

        rows = await self._database.transaction(listed)
        days = [ProfileDay(*row[:3]) for row in rows]

        async def work() -> None:
            for start in range(0, len(days), DAYS_AT_ONCE):
                await settle(self._database, days[start : start + DAYS_AT_ONCE])

        return await self._metered(sum(row[3] for row in rows), len(days), work)

    async def _night(self) -> SettleSample:
        async def counted(connection: Connection) -> Any:
            return await connection.fetchrow(_CLICKS)

        clicks, days = await self._database.transaction(counted)

        async def work() -> None:
            await settle_finished(self._database, lambda done: None)
            await compact(self._database, lambda done, of: None)

        return await self._metered(clicks, days, work)

    async def _metered(
        self, clicks: int, days: int, work: Callable[[], Awaitable[None]]
    ) -> SettleSample:
        started, backend = time.process_time(), CpuClock.of(self._backend)
        await work()
        return SettleSample(
            clicks,
            days,
            time.process_time() - started,
            (CpuClock.of(self._backend).busy_ns - backend.busy_ns) / 1e9,
        )


async def main(database_url: str, redis_url: str, name: str, stop: Stop) -> None:
    database = await Database.open(
        database_url, role="waypost_aggregator", size=1, query_timeout_ms=120_000
    )
    redis = await RedisServer.open(redis_url, size=4)
    worker = FoldWorker(database, redis, name)
    try:
        await worker.open()
        while line := await trio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True):
            print(json.dumps(await worker.obey(json.loads(line))), flush=True)
    finally:
        with trio.CancelScope(shield=True):
            await redis.close()
            await database.close()


if __name__ == "__main__":
    runtime.run(partial(main, sys.argv[1], sys.argv[2], sys.argv[3]))
