"""Real workers that are killed, stopped and continued: every job takes effect once, every time due is
enqueued once, and a job is taken over from a dead worker, never from a living one."""

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
        self._said = ""

    def said(self) -> list[str]:
        """The lines so far."""
        assert self.popen.stdout is not None
        try:
            self._said += os.read(self.popen.stdout.fileno(), 1_000_000).decode()
        except BlockingIOError:
            pass
        return self._said.splitlines()

    def signal(self, number: int) -> None:
        self.popen.send_signal(number)

    def end(self) -> None:
        self.popen.kill()
        self.popen.wait()
        assert self.popen.stdout is not None
        self.popen.stdout.close()


@contextmanager
def processes(url: str) -> Iterator[Any]:
    """Starts workers; all end with the test, stopped ones too."""
    started: list[Process] = []

    def start(name: str, lease_s: float = LEASE_S) -> Process:
        started.append(Process(url, name, lease_s))
        eventually(lambda: "ready" in started[-1].said())
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
    """What became of the jobs, asked of the database itself."""

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

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        async def fetch() -> list[tuple[Any, ...]]:
            connection = await asyncpg.connect(self.url)
            try:
                return [tuple(row) for row in await connection.fetch(query)]
            finally:
                await connection.close()

        return asyncio.run(fetch())

    def jobs(self) -> list[tuple[Any, ...]]:
        """(state, attempt, failures) of the jobs that were added."""
        return self.ask(
            "SELECT state, attempt, failures FROM waypost.jobs WHERE kind = 'work' ORDER BY id"
        )

    def done(self) -> bool:
        return all(state == "succeeded" for state, _, _ in self.jobs())

    def check_effects(self) -> None:
        """Each job that succeeded has one effect, of its last attempt; no other has any."""
        assert (
            self.ask(
                "SELECT j.id, j.state, j.attempt, array_agg(e.attempt) FROM waypost.jobs AS j "
                "FULL JOIN public.effects AS e ON e.job_id = j.id GROUP BY 1, 2, 3 "
                "HAVING array_agg(e.attempt) <> ARRAY[j.attempt] AND j.state = 'succeeded' "
                "OR j.state <> 'succeeded' AND count(e.job_id) > 0 OR j.id IS NULL"
            )
            == []
        )
        # No time due was enqueued twice, by however many schedulers.
        assert (
            self.ask(
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
def test_whatever_is_killed_or_stopped_every_job_takes_effect_once(
    ledger: Ledger, seed: int
) -> None:
    dice, faults, count = random.Random(seed), 8, 50
    with processes(ledger.url) as start:
        began = time.monotonic()  # the first ticks while the others start
        living = [start(f"w{n}") for n in range(3)]
        for fault in range(faults):
            ledger.add(count, sleep_s=0.1)
            time.sleep(dice.uniform(0.05, 0.4))
            victim = dice.randrange(len(living))
            if dice.random() < 0.4:
                living[victim].end()
                # The same name is a restart in its place, another one a machine that never comes back.
                name = f"w{victim}" if dice.random() < 0.5 else f"w{victim}-{fault}"
                living[victim] = start(name)
            else:
                living[victim].signal(signal.SIGSTOP)
                time.sleep(dice.uniform(0.3, 2.0) * LEASE_S)
                living[victim].signal(signal.SIGCONT)
        eventually(ledger.done)
        ticks = ledger.ask("SELECT count(*) FROM waypost.jobs WHERE kind = 'tick'")[0][0]
        assert 3 <= ticks <= time.monotonic() - began + 3
    jobs = ledger.jobs()
    assert len(jobs) == faults * count
    assert any(failures for _, _, failures in jobs), "no fault hit a job"
    ledger.check_effects()


def test_who_was_stopped_in_the_middle_commits_nothing_when_it_continues(ledger: Ledger) -> None:
    with processes(ledger.url) as start:
        stopped = start("stopped")
        ledger.add(1, sleep_s=0.3)
        eventually(lambda: "begins work 1" in stopped.said())
        stopped.signal(signal.SIGSTOP)
        began = time.monotonic()
        start("other")
        eventually(ledger.done)
        assert time.monotonic() - began > LEASE_S / 2
        assert ledger.jobs() == [("succeeded", 2, 1)]
        stopped.signal(signal.SIGCONT)
        time.sleep(0.5)
        assert ledger.jobs() == [("succeeded", 2, 1)]
        ledger.check_effects()
        # It goes on to work: what it lost was one job.
        ledger.add(20)
        eventually(ledger.done)
        ledger.check_effects()


def test_a_living_worker_keeps_its_job_however_long_it_takes(ledger: Ledger) -> None:
    with processes(ledger.url) as start:
        start(
            "works", 1.5
        )  # so that a busy machine does not keep its heartbeats from being in time
        start("waits for its death", 1.5)
        ledger.add(2, sleep_s=4)
        eventually(ledger.done)
    assert ledger.jobs() == [("succeeded", 1, 0)] * 2
    ledger.check_effects()


def test_sigterm_gives_back_at_once(ledger: Ledger) -> None:
    with processes(ledger.url) as start:
        leaving = start("leaving")
        ledger.add(1, sleep_s=0.5)
        ledger.add(1, sleep_s=60)
        eventually(lambda: leaving.said().count("begins work 1") == 2)
        leaving.signal(signal.SIGTERM)
        leaving.popen.wait(WAIT_S)
        assert leaving.popen.returncode == 0
    assert ledger.jobs() == [("succeeded", 1, 0), ("queued", 1, 0)]
    ledger.check_effects()
