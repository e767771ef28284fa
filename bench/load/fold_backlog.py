"""Folding rate of one aggregator on a backlog: the journal of an edge that has died.

The engine's own code writes the journal while no engine runs, with clicks of browsers on existing links. After
the next start an edge adopts the orphaned journal and ships it while the aggregator folds it, as after an
outage.
"""

import time
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg
import trio
import uvloop

from bench.kit.errors import BenchError
from bench.load import browsers
from bench.load.crashable_engine import CrashableEngine
from engine.clicks.click import Click, ClickKind, VisitorClass
from engine.clicks.journal_format import encode_record
from storage.clicks.journal import Journal

SEGMENT_BYTES = 64 * 1024 * 1024
FRAME_CLICKS = 64
TEXTS = 4_000
LIMIT_S = 300.0
POLL_S = 0.02
_LINKS = "SELECT tenant_id, profile_id, id FROM waypost.links"
_WATERMARK = "SELECT folded, committed_at FROM waypost.journals WHERE journal_id = $1"
# Every click that is counted is in exactly one delta or segment.
_TOTAL = """SELECT (coalesce((SELECT sum(clicks) FROM waypost.click_deltas), 0)
    + coalesce((SELECT sum(clicks) FROM waypost.click_segments), 0))::bigint"""


class Fold(NamedTuple):
    """Folding from the first commit to the last.

    Clicks of the first commit are left out of the rate, because the start of work on them is unknown. `exact`:
    the counted clicks grew by exactly `clicks`.
    """

    clicks: int
    clicks_per_s: float
    seconds: float
    exact: bool


def measure(engine: CrashableEngine, clicks: int) -> Fold:
    """Stop the engine, write a backlog of `clicks` into its folder, restart it and measure the folding."""
    engine.settle()
    ids, before = uvloop.run(_links(engine.database_url))
    engine.stop()
    journal = trio.run(_write, engine.data / "journals", ids, clicks)
    engine.restart()
    commits = uvloop.run(_follow_commits(engine.database_url, journal, clicks))
    engine.settle()
    _, after = uvloop.run(_links(engine.database_url))
    (first, started), (last, ended) = commits[0], commits[-1]
    seconds = ended - started
    if seconds <= 0:
        raise BenchError("the backlog was folded in one commit: give a larger --backlog")
    return Fold(clicks, (last - first) / seconds, seconds, after - before == clicks)


async def _write(folder: Path, ids: list[tuple[int, int, int]], clicks: int) -> UUID:
    journal = Journal(folder, segment_bytes=SEGMENT_BYTES, max_bytes=1 << 40, sync_ms=1000)
    journal.open()
    texts = _texts()
    now_us = time.time_ns() // 1000
    for first in range(0, clicks, FRAME_CLICKS):
        records = []
        for number in range(first, min(clicks, first + FRAME_CLICKS)):
            tenant, profile, link = ids[number % len(ids)]
            agent, referrer, language = texts[number % len(texts)]
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


def _texts() -> list[tuple[bytes, bytes, bytes]]:
    """Return (user agent, referrer, language) of TEXTS requests of browsers."""
    texts = []
    for head in browsers.request_heads(["/"], "x", count=TEXTS, close=False, seed=2):
        lines = (line.partition(b": ") for line in head.split(b"\r\n"))
        fields = {name: value for name, _, value in lines}
        names = (b"User-Agent", b"Referer", b"Accept-Language")
        agent, referrer, language = (fields.get(name, b"") for name in names)
        texts.append((agent, referrer, language))
    return texts


async def _links(url: str) -> tuple[list[tuple[int, int, int]], int]:
    """Return (tenant id, profile id, link id) of every link, and the number of counted clicks."""
    connection = await asyncpg.connect(url)
    try:
        rows = [(row[0], row[1], row[2]) for row in await connection.fetch(_LINKS)]
        return rows, int(await connection.fetchval(_TOTAL))
    finally:
        await connection.close()


async def _follow_commits(url: str, journal: UUID, clicks: int) -> list[tuple[int, float]]:
    """Wait until the journal is folded. Returns (watermark, Postgres' time in s) of each commit seen.

    Raises BenchError after LIMIT_S.
    """
    connection = await asyncpg.connect(url)
    commits: list[tuple[int, float]] = []
    started = time.monotonic()
    try:
        while not commits or commits[-1][0] < clicks:
            row: Any = await connection.fetchrow(_WATERMARK, journal)
            if row and row["folded"] and (not commits or row["folded"] > commits[-1][0]):
                commits.append((row["folded"], row["committed_at"].timestamp()))
            if time.monotonic() > started + LIMIT_S:
                raise BenchError(f"the backlog was not folded within {LIMIT_S:g} s")
            await connection.execute("SELECT pg_sleep($1)", POLL_S)
        return commits
    finally:
        await connection.close()


def counted_clicks(url: str) -> int:
    """Return the number of counted clicks, bots among them."""
    return int(uvloop.run(_fetchval(url, _TOTAL)))


def wal_bytes(url: str) -> int:
    """Return the position in the write-ahead log, in bytes."""
    return int(uvloop.run(_fetchval(url, "SELECT pg_current_wal_lsn() - '0/0'")))


async def _fetchval(url: str, query: str) -> Any:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()
