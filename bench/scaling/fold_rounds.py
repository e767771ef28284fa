"""Rounds of folds by some worker processes on a real Postgres and Valkey, and what they cost.

Times are CPU times of processes, so that other work on the machine distorts them little. `others` says how many
cores that work took: a simulation of the round gives them away too.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import asyncpg
import uvloop

from bench.kit.errors import BenchError
from bench.load.fold_backlog import wal_bytes
from bench.load.processes import TICKS_PER_S, cpu_s, cpu_s_of
from bench.scaling.click_records import BatchShape, FoldContent
from bench.scaling.fold_worker import FoldSample, SettleSample
from storage.embedded import EmbeddedServers
from storage.embedded.folder import layout
from storage.embedded.process import residents
from storage.migrations import apply_missing, migrations

ANSWER_LIMIT_S: Final = 240.0
LOCK_POLL_S: Final = 0.02
_ROOT: Final = Path(__file__).resolve().parents[2]
_PARTITIONS: Final = "SELECT waypost.ensure_click_partitions(2)"
_WAITING: Final = """SELECT count(*) FILTER (WHERE wait_event_type = 'Lock'),
    count(*) FILTER (WHERE wait_event_type IN ('LWLock', 'BufferPin')) FROM pg_stat_activity
    WHERE application_name = 'waypost' AND state = 'active'"""
_DISK: Final = """SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = 'waypost' AND c.relkind = 'r' AND c.relname ~ $1"""


# Of finished days: today's are merged or packed later.
_DELTAS: Final = """SELECT coalesce(sum(pg_column_size(d.*)), 0)::bigint FROM waypost.click_deltas AS d
    WHERE day < (clock_timestamp() AT TIME ZONE 'UTC')::date"""


class Round(NamedTuple):
    """Costs of one round. `samples` are of all workers; seconds are sums over their processes.

    `postgres_s` is CPU of all of Postgres, its background processes included; `lock_s` and `latch_s` are the
    time that backends waited for locks of rows or tables, and for Postgres' internal ones. `others` is in
    cores.
    """

    shape: BatchShape
    workers: int
    samples: list[FoldSample]
    seconds: float
    postgres_s: float
    redis_s: float
    wal_bytes: int
    lock_s: float
    latch_s: float
    others: float

    @property
    def clicks(self) -> float:
        return sum(sample.content.clicks for sample in self.samples)


class FoldRounds:
    """Servers and worker processes as a context manager. Raises BenchError when one fails."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="waypost-bench-"))
        self._servers = EmbeddedServers(self.folder)
        self._layout = layout(self.folder)
        self._workers: list[subprocess.Popen[str]] = []
        self._seed = 0

    def __enter__(self) -> Self:
        try:
            self._servers.start()
            uvloop.run(apply_missing(self.url, migrations()))
            self._query(_PARTITIONS)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        return self._servers.database_url

    def close(self) -> None:
        try:
            for process in self._workers:
                process.kill()
                process.communicate()
            self._servers.stop()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    # ---- rounds ---------------------------------------------------------------------------------

    def fold(self, shape: BatchShape, workers: int, commits: int) -> Round:
        """Have `workers` processes fold `commits` times each, all at once."""
        self._start(workers)
        processes = self._workers[:workers]
        for process in processes:
            self._seed += 1
            _tell(process, {"fold": shape._asdict(), "commits": commits, "seed": self._seed})
        for process in processes:
            _answer(process)
        with _Waits(self.url) as waits:
            before, wal, started = self._cpu(processes), wal_bytes(self.url), time.monotonic()
            for process in processes:
                _tell(process, {"go": True})
            answers = [_answer(process) for process in processes]
            seconds = time.monotonic() - started
            after = self._cpu(processes)
        used = {name: after[name] - before[name] for name in after}
        ours = used["postgres"] + used["redis"] + used["workers"] + used["bench"]
        return Round(
            shape, workers,
            [FoldSample(FoldContent(*content), *rest) for rows in answers for content, *rest in rows],
            seconds, used["postgres"], used["redis"], wal_bytes(self.url) - wal,
            waits.lock_s, waits.latch_s, max(0.0, (used["machine"] - ours) / seconds),
        )  # fmt: skip

    def settle(self, *, night: bool = False) -> tuple[SettleSample, int]:
        """Have one worker settle busy days, or pack and compact finished ones. Returns its WAL bytes too."""
        self._start(1)
        wal = wal_bytes(self.url)
        _tell(self._workers[0], {"night": True} if night else {"settle": True})
        return SettleSample(*_answer(self._workers[0])), wal_bytes(self.url) - wal

    def disk_bytes(self, tables: str) -> int:
        """Return the size of the tables whose names match a regular expression, indexes included."""
        return int(self._query(_DISK, tables))

    def delta_bytes(self) -> int:
        """Return the size of the deltas of finished days."""
        return int(self._query(_DELTAS))

    def _start(self, workers: int) -> None:
        while len(self._workers) < workers:
            command = [sys.executable, "-P", "-m", "bench.scaling.fold_worker", self.url,
                       self._servers.redis_url, f"bench-{os.getpid()}-{time.time_ns()}"]  # fmt: skip
            self._workers.append(
                subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                    cwd=_ROOT,
                    env={**os.environ, "PYTHONPATH": str(_ROOT)},
                )
            )

    def _cpu(self, processes: Sequence["subprocess.Popen[str]"]) -> dict[str, float]:
        """Return CPU seconds so far, by what used them; `machine` is all of its cores."""
        postgres = residents(self._layout.postgres, "postgres")
        valkey = residents(self._layout.valkey, "valkey-server")
        return {
            "postgres": cpu_s_of(postgres),
            "redis": cpu_s_of(valkey),
            "workers": cpu_s_of(process.pid for process in processes),
            "bench": cpu_s(os.getpid()),
            "machine": machine_busy_s(Path("/proc/stat").read_text()),
        }

    def _query(self, query: str, *values: Any) -> Any:
        async def run() -> Any:
            connection = await asyncpg.connect(self.url)
            try:
                return await connection.fetchval(query, *values)
            finally:
                await connection.close()

        return uvloop.run(run())


class _Waits:
    """A thread that samples which of Postgres' backends wait for locks."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._end = threading.Event()
        self._thread = threading.Thread(target=lambda: uvloop.run(self._sample()), daemon=True)
        self.lock_s = self.latch_s = 0.0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join(ANSWER_LIMIT_S)

    async def _sample(self) -> None:
        connection = await asyncpg.connect(self._url)
        try:
            at = time.monotonic()
            while not self._end.is_set():
                (row,) = await connection.fetch(_WAITING)
                now = time.monotonic()
                self.lock_s += row[0] * (now - at)
                self.latch_s += row[1] * (now - at)
                at = now
                self._end.wait(LOCK_POLL_S)
        finally:
            await connection.close()


def machine_busy_s(text: str) -> float:
    """Return the seconds that cores were busy, from the text of /proc/stat; idle and I/O waits are not."""
    user, nice, system, _idle, _wait, irq, soft, steal = map(int, text.split("\n")[0].split()[1:9])
    return (user + nice + system + irq + soft + steal) / TICKS_PER_S


def _tell(process: "subprocess.Popen[str]", order: dict[str, Any]) -> None:
    assert process.stdin is not None
    try:
        process.stdin.write(json.dumps(order) + "\n")
        process.stdin.flush()
    except BrokenPipeError:
        raise BenchError("a folding process has ended") from None


def _answer(process: "subprocess.Popen[str]") -> Any:
    assert process.stdout is not None
    timer = threading.Timer(ANSWER_LIMIT_S, process.kill)
    timer.start()
    try:
        line = process.stdout.readline()
    finally:
        timer.cancel()
    if not line:
        raise BenchError("a folding process has ended; its error is above")
    return json.loads(line)
