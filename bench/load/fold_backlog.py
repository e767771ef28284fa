"""Folding of a backlog: the journals of edges that have died, one for each workers process.

The engine's own code writes the journals while no engine runs, with clicks of browsers on existing links. After
the next start an edge adopts the orphaned journals and ships them while the aggregators fold them, as after an
outage.
"""

import time
from collections import Counter
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg
import trio
import uvloop

from bench.kit.errors import BenchError
from bench.load import browsers
from bench.load.crashable_engine import CrashableEngine
from bench.load.processes import cpu_s_of
from engine.clicks.click import Click, ClickKind, VisitorClass
from engine.clicks.journal_format import encode_record
from storage.clicks.journal import Journal

SEGMENT_BYTES = 64 * 1024 * 1024
FRAME_CLICKS = 64
TEXTS = 4_000
LIMIT_S = 300.0
POLL_S = 0.02
_LINKS = "SELECT tenant_id, profile_id, id FROM waypost.links"
_WATERMARK = """SELECT coalesce(sum(folded), 0)::bigint, max(committed_at),
    (SELECT array_agg(wait_event) FROM pg_stat_activity WHERE wait_event_type = 'Lock')
FROM waypost.journals WHERE journal_id = ANY ($1::uuid[])"""
# Every click that is counted is in exactly one delta or segment.
_TOTAL = """SELECT (coalesce((SELECT sum(clicks) FROM waypost.click_deltas), 0)
    + coalesce((SELECT sum(clicks) FROM waypost.click_segments), 0))::bigint"""


class Fold(NamedTuple):
    """Folding from the first commit to the last.

    Clicks of the first commit are left out of the rate, because the start of work on them is unknown. The CPU
    times are those of a click, from the first commit seen to the last. `lock_waits`: backends that waited for a
    lock, on average, by Postgres' name of its kind. `exact`: the counted clicks grew by exactly `clicks`.
    """

    clicks: int
    clicks_per_s: float
    seconds: float
    workers_cpu_us: float
    postgres_cpu_us: float
    lock_waits: dict[str, float]
    exact: bool


class Commit(NamedTuple):
    """The counted clicks of the backlog, when Postgres committed them (s), and CPU seconds at that time."""

    counted: int
    at_s: float
    workers_cpu_s: float
    postgres_cpu_s: float


class Commits(NamedTuple):
    """Commits that were seen, and the kinds of locks that backends waited for at each look."""

    seen: list[Commit]
    waiting: list[list[str]]


def measure(engine: CrashableEngine, clicks: int, journals: int = 1) -> Fold:
    """Stop the engine, write a backlog of `clicks` into its folder, restart it and measure the folding."""
    engine.settle()
    ids, before = uvloop.run(_links(engine.database_url))
    engine.stop()
    written = [
        trio.run(_write, engine.data / "journals", ids, clicks // journals) for _ in range(journals)
    ]
    clicks = clicks // journals * journals
    engine.restart()
    commits = uvloop.run(_follow_commits(engine, written, clicks))
    engine.settle()
    _, after = uvloop.run(_links(engine.database_url))
    first, last = commits.seen[0], commits.seen[-1]
    seconds, counted = last.at_s - first.at_s, last.counted - first.counted
    if seconds <= 0:
        raise BenchError("the backlog was folded in one commit: give a larger --backlog")
    return Fold(
        clicks,
        counted / seconds,
        seconds,
        (last.workers_cpu_s - first.workers_cpu_s) * 1e6 / counted,
        (last.postgres_cpu_s - first.postgres_cpu_s) * 1e6 / counted,
        {
            kind: round(count / len(commits.waiting), 3)
            for kind, count in Counter(chain(*commits.waiting)).items()
        },
        after - before == clicks,
    )


async def _write(folder: Path, ids: list[tuple[int, int, int]], clicks: int) -> UUID:
    journal = Journal(folder, segment_bytes=SEGMENT_BYTES, max_bytes=1 << 40, sync_ms=1000)
    journal.open()
    fields = texts()
    now_us = time.time_ns() // 1000
    for first in range(0, clicks, FRAME_CLICKS):
        records = []
        for number in range(first, min(clicks, first + FRAME_CLICKS)):
            tenant, profile, link = ids[number % len(ids)]
            agent, referrer, language = fields[number % len(fields)]
            at_us = now_us + number
            records.append(
                encode_record(
                    Click(ClickKind.CLICK, VisitorClass.HUMAN, at_us, tenant, profile, link,
                          agent, referrer, language)
                )
            )  # fmt: skip
        if not journal.append(records):
            raise BenchError(f"the backlog could not be written: {journal.failed}")
        if first % (1000 * FRAME_CLICKS) == 0:
            await journal.sync()
    await journal.sync()
    journal.close(remove=False)
    return journal.id


def texts() -> list[tuple[bytes, bytes, bytes]]:
    """Return (user agent, referrer, language) of TEXTS requests of browsers."""
    fields_of_all = []
    for head in browsers.request_heads(["/"], "x", count=TEXTS, close=False, seed=2):
        lines = (line.partition(b": ") for line in head.split(b"\r\n"))
        fields = {name: value for name, _, value in lines}
        names = (b"User-Agent", b"Referer", b"Accept-Language")
        agent, referrer, language = (fields.get(name, b"") for name in names)
        fields_of_all.append((agent, referrer, language))
    return fields_of_all


async def _links(url: str) -> tuple[list[tuple[int, int, int]], int]:
    """Return (tenant id, profile id, link id) of every link, and the number of counted clicks."""
    connection = await asyncpg.connect(url)
    try:
        rows = [(row[0], row[1], row[2]) for row in await connection.fetch(_LINKS)]
        return rows, int(await connection.fetchval(_TOTAL))
    finally:
        await connection.close()


async def _follow_commits(engine: CrashableEngine, journals: list[UUID], clicks: int) -> Commits:
    """Wait until the journals are folded. Returns what was committed meanwhile.

    Raises BenchError after LIMIT_S.
    """
    connection = await asyncpg.connect(engine.database_url)
    commits = Commits([], [])
    started = time.monotonic()
    try:
        while not commits.seen or commits.seen[-1].counted < clicks:
            row: Any = await connection.fetchrow(_WATERMARK, journals)
            counted, at, waiting = row
            if counted and (not commits.seen or counted > commits.seen[-1].counted):
                commits.seen.append(Commit(counted, at.timestamp(), *_cpu(engine)))
            if commits.seen:
                commits.waiting.append(waiting or [])
            if time.monotonic() > started + LIMIT_S:
                raise BenchError(f"the backlog was not folded within {LIMIT_S:g} s")
            await connection.execute("SELECT pg_sleep($1)", POLL_S)
        return commits
    finally:
        await connection.close()


def _cpu(engine: CrashableEngine) -> tuple[float, float]:
    return cpu_s_of(engine.role_pids("workers")), cpu_s_of(engine.postgres_processes())


def counted_clicks(url: str) -> int:
    """Return the number of counted clicks, bots among them."""
    return int(uvloop.run(_fetchval(url, _TOTAL)))


def wal_bytes(url: str) -> int:
    """Return the position in the write-ahead log, in bytes."""
    return int(uvloop.run(_fetchval(url, "SELECT pg_current_wal_lsn() - '0/0'")))


def watermarks(url: str) -> dict[UUID, int]:
    """Return how far each journal is counted."""
    query = "SELECT journal_id, folded FROM waypost.journals"
    return {row[0]: row[1] for row in uvloop.run(fetch(url, query))}


def transactions(url: str) -> int:
    """Return how many transactions the database has ended."""
    query = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"
    return int(uvloop.run(_fetchval(url, query)))


async def _fetchval(url: str, query: str) -> Any:
    rows = await fetch(url, query)
    return rows[0][0]


async def fetch(url: str, query: str) -> list[Any]:
    connection = await asyncpg.connect(url)
    try:
        return list(await connection.fetch(query))
    finally:
        await connection.close()
