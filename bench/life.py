"""Cost of a click over its whole life, and its space on disk: `python -m bench life`.

Clicks of `--traffic` are folded at `rate` by the engine's own ledger while its settler runs; then the night of
their day comes, then a month later that of the finished month, then that of the end of their raw retention. The
database's clock is moved forward for it, for this process only (bench/kit/moved_clock.py); the processes of the
engine, which gave the database and the links, are stopped meanwhile. Postgres is vacuumed in every night.

| key | definition |
|---|---|
| `day`, `night`, `month`, `retention` | for each phase, of a click: `cpu_us` of all of Postgres' processes, `wal_bytes` of its write-ahead log, `seconds` |
| `cpu_us_per_click`, `wal_bytes_per_click` | sums over the phases |
| `disk_bytes_per_click` | what its tables and indexes have grown by, after the retention and without free space |
| `raw_disk_bytes_per_click` | the same after the night of its day, with the raw rows |
| `exact` | after the month's night, deltas and segments held each click once |
"""  # noqa: E501  # a table row cannot be wrapped

import random
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple
from uuid import uuid4

import click
import trio
import uvloop
from rich.table import Table

from actors.operations import runtime
from actors.operations.runtime import Stop
from actors.stats.delta_settler import DeltaSettler
from bench.kit import traffic
from bench.kit.errors import BenchError
from bench.kit.moved_clock import MovedClock
from bench.kit.report import progress, show
from bench.load import fold_backlog
from bench.load.crashable_engine import CrashableEngine, send
from bench.load.processes import cpu_s_of
from bench.suite.options import finish, suite_options
from bench.suite.result import Figure, Key, stated
from engine.clicks.batch import Batch
from engine.clicks.click import Click, ClickKind, VisitorClass
from engine.clicks.journal_format import encode_frame, encode_record
from engine.clicks.record_items import HOST, PLACE, UTM, item
from storage.clicks.ledger import PostgresClickLedger
from storage.postgres.database import Database
from storage.stats.daily import DailyAggregation
from storage.stats.settling import PostgresDeltaStore

FOLDS_PER_S: Final = 10
FRAME_CLICKS: Final = 64
PLACES: Final = 300
VISITORS_PER_CLICK: Final = 0.7
PHASES: Final = ("day", "night", "month", "retention")
# Days after the clicks' own: the next day, one in the next month, and one after 90 days of raw clicks.
NIGHTS: Final = {"night": 1, "month": 32, "retention": 93}
_LINKS = """SELECT p.handle, l.slug, l.tenant_id, l.profile_id, l.id
    FROM waypost.links AS l JOIN waypost.profiles AS p ON p.id = l.profile_id"""
_SIZE = """SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class AS c
    WHERE c.relnamespace = 'waypost'::regnamespace AND c.relkind = 'r'"""


class LifeOptions(NamedTuple):
    """Options of the command line."""

    traffic: str
    seconds: int
    rate: int


class Cost(NamedTuple):
    """Cost of a phase, for a click."""

    cpu_us: float
    wal_bytes: float
    seconds: float


class Life:
    """Life of the clicks of one run, in a database whose engine is stopped."""

    def __init__(self, plan: LifeOptions, engine: CrashableEngine) -> None:
        self.plan = plan
        self.engine = engine
        self.clicks = plan.rate * plan.seconds
        self.costs: dict[str, Cost] = {}
        self.exact = False
        self.raw_disk = self.disk = 0.0
        self._clock = MovedClock(engine.database_url)

    async def run(self, stop: Stop) -> None:
        links = await self._fetch(_LINKS)
        batches = list(batches_of(self.plan, {f"/{row[0]}/{row[1]}": row[2:] for row in links}))
        await self._execute("VACUUM FULL")
        empty = await self._size()
        async with self._database() as database:
            await self._phase("day", lambda: self._fold(database, batches))
        for name, days in NIGHTS.items():
            await self._clock.move(days)
            async with self._database() as database:
                await self._phase(name, lambda database=database: self._night(database))  # type: ignore[misc]
            if name == "night":
                self.raw_disk = (await self._size() - empty) / self.clicks
            if name == "month":
                url = self.engine.database_url
                counted = await trio.to_thread.run_sync(fold_backlog.counted_clicks, url)
                self.exact = counted == self.clicks
        await self._execute("VACUUM FULL")
        self.disk = (await self._size() - empty) / self.clicks

    @asynccontextmanager
    async def _database(self) -> AsyncIterator[Database]:
        database = await Database.open(
            self.engine.database_url, role="waypost_aggregator", size=8, query_timeout_ms=60_000
        )
        self._clock.apply(database)
        try:
            yield database
        finally:
            await database.close()

    async def _phase(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        progress(name)
        await self._execute("CHECKPOINT")
        before, started = await self._spent(), time.monotonic()
        await work()
        after = await self._spent()
        self.costs[name] = Cost(
            round((after[0] - before[0]) * 1e6 / self.clicks, 2),
            round((after[1] - before[1]) / self.clicks, 1),
            round(time.monotonic() - started, 1),
        )

    async def _spent(self) -> tuple[float, int]:
        url = self.engine.database_url
        wal = await trio.to_thread.run_sync(fold_backlog.wal_bytes, url)
        return cpu_s_of(self.engine.postgres_processes()), wal

    async def _fold(self, database: Database, batches: list[Batch]) -> None:
        """Fold at the rate of the plan, with the settler at work; then settle what is due."""
        settler = DeltaSettler(PostgresDeltaStore(database))
        ledger = PostgresClickLedger(database, on_delta=settler.note)
        await ledger.register(uuid4())
        (lease,) = await ledger.lease("life", 1, 3600)
        started = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(settler.run)
            for number, batch in enumerate(batches):
                await trio.sleep_until(started + number / FOLDS_PER_S)
                lease = await ledger.commit(lease, [batch])
            await trio.sleep(4)
            nursery.cancel_scope.cancel()

    async def _night(self, database: Database) -> None:
        await DailyAggregation(database).run()
        await self._execute("VACUUM")

    async def _size(self) -> int:
        return int((await self._fetch(_SIZE))[0][0])

    async def _execute(self, statement: str) -> None:
        await self._fetch(statement)

    async def _fetch(self, query: str) -> list[Any]:
        return await trio.to_thread.run_sync(
            lambda: uvloop.run(fold_backlog.fetch(self.engine.database_url, query))
        )


def batches_of(plan: LifeOptions, ids: dict[str, tuple[int, int, int]]) -> Iterator[Batch]:
    """Yield a batch for each fold of the day: its clicks are of the last seconds before now."""
    dice = random.Random(1)  # noqa: S311
    links = traffic.links_of(plan.traffic)
    targets = list(traffic.paths_of(plan.traffic, links, seed=3))
    texts = fold_backlog.texts()
    size = plan.rate // FOLDS_PER_S
    now_us = time.time_ns() // 1000
    for first in range(1, plan.rate * plan.seconds + 1, size):
        frames = []
        for start in range(first, first + size, FRAME_CLICKS):
            count = min(FRAME_CLICKS, first + size - start)
            frames.append(
                encode_frame(
                    start,
                    [
                        encode_record(_click(plan, ids, targets, texts, start + n, now_us, dice))
                        for n in range(count)
                    ],
                )
            )
        yield Batch(first, first + size - 1, b"".join(frames))


def _click(
    plan: LifeOptions,
    ids: dict[str, tuple[int, int, int]],
    targets: list[str],
    texts: list[tuple[bytes, bytes, bytes]],
    number: int,
    now_us: int,
    dice: random.Random,
) -> Click:
    path, _, query = targets[number % len(targets)].partition("?")
    place = int(dice.paretovariate(1)) % PLACES
    visitor = dice.randrange(int(plan.rate * plan.seconds * VISITORS_PER_CLICK))
    items = item(PLACE, f"EU\x1fC{place % 26}\x1fR{place % 90}\x1fCity {place}".encode())
    items += item(HOST, b"go.example") + (item(UTM, query.encode()) if query else b"")
    return Click(
        ClickKind.CLICK, VisitorClass.HUMAN, now_us + number * 1_000_000 // plan.rate, *ids[path],
        *dice.choice(texts), visitor_id=random.Random(visitor).randbytes(8), items=items,  # noqa: S311
    )  # fmt: skip


def run(plan: LifeOptions) -> dict[str, Any]:
    """Run the benchmark and return its result. Raises BenchError."""
    if plan.rate % FOLDS_PER_S:
        raise BenchError(f"--rate is a multiple of {FOLDS_PER_S}")
    with CrashableEngine() as engine:
        progress("making links")
        engine.fill(traffic.links_of(plan.traffic))
        pids = [pid for role in ("edge", "api", "workers") for pid in engine.role_pids(role)]
        send(pids, signal.SIGSTOP)
        try:
            life = Life(plan, engine)
            runtime.run(life.run)
        finally:
            send(pids, signal.SIGCONT)
    return {
        "benchmark": "life",
        **{name: cost._asdict() for name, cost in life.costs.items()},
        "cpu_us_per_click": round(sum(cost.cpu_us for cost in life.costs.values()), 2),
        "wal_bytes_per_click": round(sum(cost.wal_bytes for cost in life.costs.values()), 1),
        "disk_bytes_per_click": round(life.disk, 1),
        "raw_disk_bytes_per_click": round(life.raw_disk, 1),
        "exact": life.exact,
        "clicks": life.clicks,
        "plan": plan._asdict(),
    }


def table(result: dict[str, Any]) -> Table:
    grid = Table(title=f"The life of a click: {result['plan']['traffic']} traffic")
    for title in ("", "Postgres µs", "WAL bytes", "seconds"):
        grid.add_column(title, justify="right" if title else "left")
    for name in PHASES:
        cost = result[name]
        grid.add_row(name, f"{cost['cpu_us']:g}", f"{cost['wal_bytes']:g}", f"{cost['seconds']:g}")
    grid.add_section()
    grid.add_row(
        "whole life", f"{result['cpu_us_per_click']:g}", f"{result['wal_bytes_per_click']:g}", ""
    )
    grid.add_row("disk kept", "", f"{result['disk_bytes_per_click']:g}", "")
    grid.add_row("disk with raw rows", "", f"{result['raw_disk_bytes_per_click']:g}", "")
    return grid


def measurements(result: dict[str, Any]) -> list[Figure]:
    disk, phases = "Disk of a click", "Postgres' CPU time for a click"
    whole = stated(
        result,
        (
            Key("cpu_us_per_click", "whole life", "µs", "lower", phases),
            Key("wal_bytes_per_click", "write-ahead log of a click", "bytes", "lower"),
            Key("raw_disk_bytes_per_click", "with raw rows", "bytes", "lower", disk),
            Key("disk_bytes_per_click", "after the retention", "bytes", "lower", disk),
        ),
    )
    for name in PHASES:
        key = Key("cpu_us", name, "µs", "lower", phases)
        whole += stated(result[name], (key,), prefix=f"{name}/")
    return whole


@click.command(help="Postgres' CPU, write-ahead log and disk of a click over its whole life.")
@click.option("--traffic", type=click.Choice(sorted(traffic.TRAFFIC)), default="flat",
              show_default=True, help="how clicks are spread over links")  # fmt: skip
@click.option("--seconds", type=click.IntRange(1, 3600), default=60, show_default=True,
              help="length of the day's traffic")  # fmt: skip
@click.option("--rate", type=click.IntRange(100, 100_000), default=5000, show_default=True,
              help="clicks a second")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="one JSON object as the last line")
@suite_options(
    "The clock is moved, so the days between are not lived: autovacuum, checkpoints and bloat "
    "of real months are not in it. Few clicks make tables look larger for each click than they "
    "are.",
    {"traffic": "hot", "seconds": 2, "rate": 1000},
)
def command(as_json: bool, **options: Any) -> int:
    result = run(LifeOptions(**options))
    show(table(result))
    if not result["exact"]:
        print("FAILED: deltas and segments do not hold each click once")
    failures = [] if result["exact"] else ["deltas and segments do not hold each click once"]
    return finish(result, failures, measurements, as_json=as_json)
