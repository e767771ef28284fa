"""Real workers that are killed, stopped and continued.

Every job takes effect once, every due time is enqueued once, and only jobs of dead workers change hands.
"""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import orjson
import pytest

from tests.conftest import execute

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]
LEASE_S = 0.6
WAIT_S = 20


class Process:
    def __init__(self, url: str, name: str, lease_s: float) -> None:
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "tests.kit.worker_process", url, name, str(lease_s)],
            stdout=subprocess.PIPE, cwd=ROOT, text=True, bufsize=1,
        )  # fmt: skip
        assert self.popen.stdout is not None
        os.set_blocking(self.popen.stdout.fileno(), False)
        self._output = ""

    def lines(self) -> list[str]:
        """Return the lines that the process has written so far."""
        assert self.popen.stdout is not None
        try:
            self._output += os.read(self.popen.stdout.fileno(), 1_000_000).decode()
        except BlockingIOError:
            pass
        return self._output.splitlines()

    def signal(self, number: int) -> None:
        self.popen.send_signal(number)

    def end(self) -> None:
        self.popen.kill()
        self.popen.wait()
        assert self.popen.stdout is not None
        self.popen.stdout.close()


@contextmanager
def processes(url: str) -> Iterator[Any]:
    """Yield a function that starts a worker. All workers end with the test, stopped ones too."""
    started: list[Process] = []

    def start(name: str, lease_s: float = LEASE_S) -> Process:
        started.append(Process(url, name, lease_s))
        eventually(lambda: "ready" in started[-1].lines())
        return started[-1]

    try:
        yield start
    finally:
        for process in started:
            process.end()


def eventually(check: Any) -> None:
    deadline = time.monotonic() + WAIT_S
    while not check():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.02)


class Ledger:
    """The jobs and their effects, read from the database itself."""

    def __init__(self, url: str) -> None:
        self.url = url
        execute(
            url,
            "CREATE TABLE public.effects (job_id bigint, attempt int, due text);"
            "GRANT INSERT ON public.effects TO waypost_aggregator",
        )

    def add(self, count: int, **payload: float) -> None:
        text = orjson.dumps(payload).decode()
        execute(
            self.url,
            "SET ROLE waypost_aggregator; SET search_path = waypost; INSERT INTO jobs (kind, payload) "
            f"SELECT 'work', '{text}' FROM generate_series(1, {count})",
        )

    def fetch(self, query: str) -> list[tuple[Any, ...]]:
        async def run() -> list[tuple[Any, ...]]:
            connection = await asyncpg.connect(self.url)
            try:
                return [tuple(row) for row in await connection.fetch(query)]
            finally:
                await connection.close()

        return asyncio.run(run())

    def jobs(self) -> list[tuple[Any, ...]]:
        """Return (state, attempt, failures) of the added jobs."""
        return self.fetch(
            "SELECT state, attempt, failures FROM waypost.jobs WHERE kind = 'work' ORDER BY id"
        )

    def done(self) -> bool:
        return all(state == "succeeded" for state, _, _ in self.jobs())

    def check_effects(self) -> None:
        """Require one effect of each succeeded job, of its last attempt, and none of other jobs."""
        assert (
            self.fetch(
                "SELECT j.id, j.state, j.attempt, array_agg(e.attempt) FROM waypost.jobs AS j "
                "FULL JOIN public.effects AS e ON e.job_id = j.id GROUP BY 1, 2, 3 "
                "HAVING array_agg(e.attempt) <> ARRAY[j.attempt] AND j.state = 'succeeded' "
                "OR j.state <> 'succeeded' AND count(e.job_id) > 0 OR j.id IS NULL"
            )
            == []
        )
        # No due time was enqueued twice, whatever the number of schedulers.
        assert (
            self.fetch(
                "SELECT payload ->> 'due' FROM waypost.jobs WHERE kind = 'tick' GROUP BY 1 HAVING count(*) > 1"
            )
            == []
        )


@pytest.fixture
def ledger(database_url: str) -> Ledger:
    return Ledger(database_url)


@pytest.mark.parametrize(
    "seed", [1, *(pytest.param(seed, marks=pytest.mark.large) for seed in range(2, 12))]
)
def test_every_job_takes_effect_once_though_workers_are_killed_and_stopped(
    ledger: Ledger, seed: int
) -> None:
    dice, faults, count = random.Random(seed), 8, 50
    with processes(ledger.url) as start:
        started_at = time.monotonic()  # the first ticks while the others start
        workers = [start(f"w{n}") for n in range(3)]
        for fault in range(faults):
            ledger.add(count, sleep_s=0.1)
            time.sleep(dice.uniform(0.05, 0.4))
            victim = dice.randrange(len(workers))
            if dice.random() < 0.4:
                workers[victim].end()
                # The same name stands for a restart, a new name for a machine that never returns.
                name = f"w{victim}" if dice.random() < 0.5 else f"w{victim}-{fault}"
                workers[victim] = start(name)
            else:
                workers[victim].signal(signal.SIGSTOP)
                time.sleep(dice.uniform(0.3, 2.0) * LEASE_S)
                workers[victim].signal(signal.SIGCONT)
        eventually(ledger.done)
        ticks = ledger.fetch("SELECT count(*) FROM waypost.jobs WHERE kind = 'tick'")[0][0]
        assert 3 <= ticks <= time.monotonic() - started_at + 3
    jobs = ledger.jobs()
    assert len(jobs) == faults * count
    assert any(failures for _, _, failures in jobs), "no fault hit a job"
    ledger.check_effects()


def test_a_worker_that_continues_after_its_lease_ended_commits_nothing(ledger: Ledger) -> None:
    with processes(ledger.url) as start:
        stopped = start("stopped")
        ledger.add(1, sleep_s=0.3)
        eventually(lambda: "begins work 1" in stopped.lines())
        stopped.signal(signal.SIGSTOP)
        started_at = time.monotonic()
        start("other")
        eventually(ledger.done)
        assert time.monotonic() - started_at > LEASE_S / 2
        assert ledger.jobs() == [("succeeded", 2, 1)]
        stopped.signal(signal.SIGCONT)
        time.sleep(0.5)
        assert ledger.jobs() == [("succeeded", 2, 1)]
        ledger.check_effects()
        # It continues to work: it lost one job only.
        ledger.add(20)
        eventually(ledger.done)
        ledger.check_effects()


def test_a_running_worker_keeps_its_job_however_long_it_takes(ledger: Ledger) -> None:
    with processes(ledger.url) as start:
        start("works", 1.5)  # a long lease, so that heartbeats are in time on a busy machine
        start("waits for its death", 1.5)
        ledger.add(2, sleep_s=4)
        eventually(ledger.done)
    assert ledger.jobs() == [("succeeded", 1, 0)] * 2
    ledger.check_effects()


def test_sigterm_releases_jobs_at_once(ledger: Ledger) -> None:
    with processes(ledger.url) as start:
        leaving = start("leaving")
        ledger.add(1, sleep_s=0.5)
        ledger.add(1, sleep_s=60)
        eventually(lambda: leaving.lines().count("begins work 1") == 2)
        leaving.signal(signal.SIGTERM)
        leaving.popen.wait(WAIT_S)
        assert leaving.popen.returncode == 0
    assert ledger.jobs() == [("succeeded", 1, 0), ("queued", 1, 0)]
    ledger.check_effects()
