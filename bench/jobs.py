"""Throughput of one worker process, and rescue of a dead worker's job: `python -m bench jobs`.

The worker processes are real, Postgres is durable and runs for this benchmark only, leases last as long as in
production.

| key | definition |
|---|---|
| `enqueued_per_s` | jobs enqueued per second, 1,000 per transaction |
| `jobs_per_s` | jobs per second that do nothing, from the start of the first to the end of the last |
| `effects_per_s` | jobs per second that commit a row together with their end, one transaction each |
| `rescued_after_s` | from kill -9 of a worker until another worker started its job, by the database's clock |
| `wrong` | jobs that did not succeed at the first attempt, or whose row was not committed exactly once |

Exit code 1 when `wrong` is not 0, or the job was not rescued within 30 s.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import asyncpg
import click
import trio
from rich.table import Table

from actors.operations import runtime
from bench.kit.errors import BenchError
from bench.kit.report import progress, show
from bench.suite.options import finish, suite_options
from bench.suite.result import Figure, Key, stated
from engine.jobs.job import JobDraft
from storage.bridge import in_asyncio
from storage.embedded import EmbeddedServers
from storage.jobs.jobs import enqueue_many
from storage.migrations import migrate
from storage.postgres.database import Connection, Database

BATCH: Final = 1000
LIMIT_S: Final = 600.0
RESCUE_LIMIT_S: Final = 30.0
_ROOT: Final = Path(__file__).resolve().parents[1]
_TABLE: Final = """CREATE TABLE public.effects (job_id bigint);
    GRANT INSERT, SELECT ON public.effects TO waypost_aggregator"""
_RATE: Final = """SELECT count(*) / extract(epoch FROM max(finished_at) - min(started_at))::float8
    FROM jobs WHERE kind = $1"""
_COUNT_WRONG: Final = """SELECT (SELECT count(*) FROM jobs WHERE state <> 'succeeded' OR attempt <> 1)
    + (SELECT count(*) FROM (SELECT j.id FROM jobs AS j LEFT JOIN public.effects AS e ON e.job_id = j.id
        WHERE j.kind = 'effect' GROUP BY j.id HAVING count(e.job_id) <> 1) AS w)"""


class JobsRun:
    """Run of the benchmark, on an empty database."""

    def __init__(self, url: str, jobs: int, effects: int) -> None:
        self.url = url
        self.jobs = jobs
        self.effects = effects

    async def run(self, _: runtime.Stop) -> dict[str, Any]:
        await migrate(self.url)
        await in_asyncio(self._make_table)
        self.database = await Database.open(
            self.url, role="waypost_aggregator", size=2, query_timeout_ms=60_000
        )
        try:
            enqueued_per_s = await self._enqueue("plain", self.jobs)
            await self._enqueue("effect", self.effects)
            with worker(self.url, "one"):
                await self._wait_until("SELECT count(*) = 0 FROM jobs WHERE state <> 'succeeded'")
            rates = [await self._query(_RATE, kind) for kind in ("plain", "effect")]
            wrong = await self._query(_COUNT_WRONG)
            rescued_after_s = await self._rescue()
        finally:
            with trio.CancelScope(shield=True):
                await self.database.close()
        return {
            "benchmark": "jobs",
            "jobs": self.jobs,
            "effects": self.effects,
            "enqueued_per_s": round(enqueued_per_s),
            "jobs_per_s": round(rates[0]),
            "effects_per_s": round(rates[1]),
            "rescued_after_s": round(rescued_after_s, 2),
            "wrong": wrong,
        }

    async def _make_table(self) -> None:
        connection = await asyncpg.connect(self.url)
        try:
            await connection.execute(_TABLE)
        finally:
            await connection.close()

    async def _enqueue(self, kind: str, count: int) -> float:
        """Enqueue `count` jobs; plain ones run first. Returns jobs per second."""
        started = time.perf_counter()
        priority = 1 if kind == "plain" else 0
        for first in range(0, count, BATCH):
            size = min(BATCH, count - first)
            drafts = [
                JobDraft(kind=kind, payload={"n": first + n}, priority=priority)
                for n in range(size)
            ]

            async def work(connection: Connection, drafts: list[JobDraft] = drafts) -> None:
                await enqueue_many(connection, drafts)

            await self.database.transaction(work)
        return count / (time.perf_counter() - started)

    async def _rescue(self) -> float:
        """Kill the worker that runs a job while another worker waits. Returns `rescued_after_s`."""
        started = "SELECT count(*) > 0 FROM jobs WHERE kind = 'long' AND attempt = "
        with worker(self.url, "dies") as victim:
            await self._enqueue("long", 1)
            await self._wait_until(started + "1")
            with worker(self.url, "lives"):
                # So that the kill falls between two heartbeats, as a real crash would.
                await trio.sleep(7)
                killed_at = await self._query("SELECT clock_timestamp()")
                victim.kill()
                await self._wait_until(started + "2")
                taken_at = await self._query("SELECT started_at FROM jobs WHERE kind = 'long'")
        return float((taken_at - killed_at).total_seconds())

    async def _wait_until(self, query: str) -> None:
        deadline = trio.current_time() + LIMIT_S
        while not await self._query(query):
            if trio.current_time() > deadline:
                raise BenchError(f"this was not true within {LIMIT_S:g} s: {query}")
            await trio.sleep(0.25)

    async def _query(self, query: str, *arguments: object) -> Any:
        async def work(connection: Connection) -> Any:
            return await connection.fetchval(query, *arguments)

        return await self.database.transaction(work, read_only=True)


@contextmanager
def worker(url: str, name: str) -> "Iterator[subprocess.Popen[bytes]]":
    """Run a worker process for the length of the block."""
    command = [sys.executable, "-m", "bench.load.job_worker", url, name]
    process = subprocess.Popen(command, cwd=_ROOT)  # our own command
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def table(result: dict[str, Any]) -> Table:
    grid = Table(title=f"{result['jobs']:,} jobs by one worker process", show_header=False)
    grid.add_column()
    grid.add_column(justify="right")
    grid.add_row("enqueued, 1,000 per transaction", f"{result['enqueued_per_s']:,}/s")
    grid.add_row("done", f"{result['jobs_per_s']:,}/s")
    grid.add_row("done, with one committed row each", f"{result['effects_per_s']:,}/s")
    grid.add_row("a dead worker's job rescued after", f"{result['rescued_after_s']:.1f} s")
    return grid


def measurements(result: dict[str, Any]) -> list[Figure]:
    rates = "Jobs a second of one worker process"
    return stated(
        result,
        (
            Key("enqueued_per_s", "enqueued, 1,000 per transaction", "/s", "higher", rates),
            Key("jobs_per_s", "done", "/s", "higher", rates),
            Key("effects_per_s", "done, with one committed row each", "/s", "higher", rates),
            Key("rescued_after_s", "a dead worker's job is started again", "s", "lower"),
        ),
    )


@click.command(help="Jobs per second by one worker process, and rescue of a dead worker's job.")
@click.option("--jobs", type=click.IntRange(1, 10_000_000), default=100_000, show_default=True)
@click.option("--effects", type=click.IntRange(1, 10_000_000), default=5_000, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="one JSON object as the last line")
@suite_options(
    "The jobs do nothing or write one row: what real jobs take comes on top. The rescue is one "
    "of one job, and depends on when the worker last renewed its lease.",
    {"jobs": 2000, "effects": 200},
)
def command(jobs: int, effects: int, as_json: bool) -> int:
    folder = Path(tempfile.mkdtemp(prefix="waypost-jobs-"))
    try:
        with EmbeddedServers(folder) as servers:
            progress(f"{jobs + effects:,} jobs")
            result = runtime.run(JobsRun(servers.database_url, jobs, effects).run)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    show(table(result))
    failed = bool(result["wrong"]) or result["rescued_after_s"] > RESCUE_LIMIT_S
    passed = "Every job was done exactly once."
    failure = f"FAILED: {result['wrong']} wrong jobs, rescue after {result['rescued_after_s']} s"
    print(failure if failed else passed)
    return finish(result, [failure] if failed else [], measurements, as_json=as_json)
