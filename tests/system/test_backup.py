"""Backup of a real engine under load, restored into another folder, and started there.

pytest -m large -s tests/system/test_backup.py
"""

import asyncio
import os
import random
import re
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import httpx
import pytest

from bench.kit.link_set import SampleLink, sample_links
from bench.kit.report import progress
from bench.kit.request_account import UNANSWERED
from bench.load.click_audit import compare, mismatches, read_counts
from bench.load.engine_process import EngineProcess
from bench.load.load import Load, LoadPlan
from engine.operations.backup import Manifest, parse_manifest
from storage.embedded import EmbeddedServers
from storage.embedded.folder import UNFINISHED_RESTORE
from tests.kit.engines import ROOT, Engine, environment, eventually, total_clicks, waypost

pytestmark = [pytest.mark.large, pytest.mark.timeout(600)]
RATE = 3_000
# Segments are filled within seconds, and deleted as soon as they are counted.
SETTINGS = {"WAYPOST_JOURNAL_SEGMENT_BYTES": f"{2 << 20}", "WAYPOST_JOURNAL_KEPT_MS": "0"}


def manifest_of(file: Path) -> Manifest:
    with tarfile.open(file) as tar:
        member = tar.extractfile("manifest.json")
        assert member is not None
        return parse_manifest(member.read())


class BackupRun:
    """A `waypost backup` in the background, with its output on standard error in a file."""

    def __init__(self, data: Path, file: Path) -> None:
        self._log = file.with_suffix(".log")
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "api.command", "backup", str(file), "--data", str(data)],
                env=environment(), stdout=subprocess.DEVNULL, stderr=log, cwd=ROOT,
            )  # fmt: skip

    def output(self) -> str:
        return self._log.read_text()

    def has_its_moment(self) -> bool:
        assert self.process.poll() in (None, 0), self.output()
        return "the backup is as of" in self.output()


@contextmanager
def load_on(engine: EngineProcess, links: list[SampleLink]) -> Iterator[Load]:
    url = urlsplit(engine.visitors_url)
    plan = LoadPlan(
        host=url.hostname or "", port=url.port or 0, paths=[link.path for link in links],
        connections=64, rate=RATE, patient=True,
    )  # fmt: skip
    with Load(engine.folder, plan) as load:
        yield load


def raw_rows(url: str) -> int:
    async def count() -> int:
        connection = await asyncpg.connect(url)
        try:
            rows: int = await connection.fetchval("SELECT count(*) FROM waypost.clicks")
            return rows
        finally:
            await connection.close()

    return asyncio.run(count())


def test_a_backup_under_load_has_what_was_counted_until_its_moment(tmp_path: Path) -> None:
    links = sample_links(300)
    file = tmp_path / "backup.tar"
    with EngineProcess(edges=2, settings=SETTINGS) as engine:
        engine.fill(links)
        with load_on(engine, links) as load:
            account = load.account
            eventually(lambda: account.answered > 15 * RATE, 60)
            before, quiet_ms = account.sent_entries(), account.percentile_ms(99)
            begun, answered = time.monotonic(), account.answered
            run = BackupRun(engine.data, file)
            eventually(run.has_its_moment)
            sent_at_moment = account.sent
            assert run.process.wait(120) == 0, run.output()
            took_s = time.monotonic() - begun
            rate = (account.answered - answered) / took_s
            eventually(lambda: account.answered > answered + 5 * RATE)
            load.stop()
            busy = [e for e in account.sent_entries()[len(before) :] if e > UNANSWERED]
        engine.wait_committed()
    manifest = manifest_of(file)
    progress(
        f"backup: {file.stat().st_size:,} bytes in {took_s:.1f} s beside {rate:,.0f} requests/s; p99 "
        f"{quiet_ms:.1f} ms before, {sorted(busy)[len(busy) * 99 // 100] / 1000:.1f} ms from its start on"
    )

    restored = EngineProcess(edges=2)
    begun = time.monotonic()
    done = waypost("restore", str(file), "--data", str(restored.data))
    assert done.returncode == 0, done.stderr
    progress(f"restore: {time.monotonic() - begun:.1f} s\n{done.stdout}")
    match = re.search(r"([\d,]+) more are in journals", done.stdout)
    assert match is not None
    uncounted = int(match[1].replace(",", ""))
    with EmbeddedServers(restored.data) as servers:
        assert raw_rows(servers.database_url) == manifest.clicks

    # Answered before the backup began: counted. Sent after its moment: not. In between: at most once.
    entries = before + [UNANSWERED] * (sent_at_moment - len(before))
    with restored as engine:
        engine.wait_committed()
        counts = asyncio.run(read_counts(EmbeddedServers(engine.data).database_url))
        ids = engine.profile_ids()
        found = mismatches(counts, {int(id_): engine.clicks([id_]) for id_ in ids})
        audit = waypost("doctor", "--audit", "--data", str(engine.data))
    findings = compare(entries, links, counts)
    progress(f"{findings}; {manifest.clicks:,} counted, {uncounted:,} from journals")
    assert (findings.lost, findings.duplicated, findings.phantoms) == (0, 0, 0)
    assert (found, findings.dimension_mismatches, findings.dead_lettered) == (0, 0, 0)
    assert findings.counted == manifest.clicks + uncounted
    assert audit.returncode == 0, audit.stdout


STEPS = ("checking", "writing journals", "loading Postgres", "reading the journals")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of an engine with ten clicks."""
    folder = tmp_path_factory.mktemp("small")
    engine = Engine(folder / "data", "--demo=links")
    try:
        for _ in range(10):
            assert httpx.get(f"{engine.visitors}/demo/spring").status_code == 302
        done = waypost("backup", str(folder / "backup.tar"), "--data", str(engine.folder))
        assert done.returncode == 0, done.stderr
    finally:
        engine.kill()
    return folder / "backup.tar"


def restoring(file: Path, data: Path, step: str) -> "subprocess.Popen[str]":
    """Start a restore. Returns it when it has begun the step, or ended."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "api.command", "restore", str(file), "--data", str(data)],
        env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip
    assert process.stderr is not None
    while (line := process.stderr.readline()) and not line.startswith(step):
        pass
    return process


@pytest.mark.parametrize("seed", range(3))
def test_a_restore_that_is_killed_at_any_step_is_begun_again(
    small: Path, tmp_path: Path, seed: int
) -> None:
    dice, data = random.Random(seed), tmp_path / "data-0"
    for number, step in enumerate(STEPS * 2, 1):
        with restoring(small, data, step) as process:
            time.sleep(dice.choice((0, 0.05, 0.2, 0.5)))
            process.kill()
        names = set(os.listdir(data)) if data.exists() else set()
        if UNFINISHED_RESTORE in names:
            refused = waypost("up", "--data", str(data))
            assert (refused.returncode, "unfinished restore" in refused.stderr) == (2, True)
        elif names > {"lock"}:
            data = tmp_path / f"data-{number}"  # the kill came too late
    done = waypost("restore", str(small), "--data", str(data))
    assert done.returncode == 0, done.stderr
    engine = Engine(data)
    try:
        engine.wait_committed()
        with engine.api() as client:
            (profile,) = client.get("/v1/profiles").json()["items"]
            assert total_clicks(client, profile["id"]) == 10
    finally:
        engine.kill()


def test_ctrl_c_leaves_the_folder_as_empty_as_it_was(small: Path, tmp_path: Path) -> None:
    with restoring(small, tmp_path / "data", "loading Postgres") as process:
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        assert process.stderr.read().splitlines()[-1] == (
            "waypost: stopped before the end: nothing was restored"
        )
    assert (process.returncode, os.listdir(tmp_path / "data")) == (130, ["lock"])
