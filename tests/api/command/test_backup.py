"""`waypost backup` over real servers, while the engine works: one moment, one file, or none."""

import asyncio
import fcntl
import resource
import stat
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest
import trio

from actors.operations.runtime import Stop
from api.command.backup import Backup, BackupFile
from engine.common.errors import StoppedError, UnavailableError, WaypostError
from engine.operations.backup import BackupError
from storage.bridge import in_asyncio
from storage.clicks.ledger import PostgresClickLedger
from storage.operations.backup_snapshot import BackupSnapshot
from storage.postgres.database import Connection
from tests.conftest import execute
from tests.kit.backed_up import (
    FOLDED,
    RECORDED,
    BackedUp,
    back_up,
    fill,
    fold,
    manifest_of,
    settings,
)
from tests.kit.engines import ROOT, environment
from tests.kit.hosted import hosted_run
from tests.kit.stores import opened

pytestmark = pytest.mark.slow


@pytest.fixture
def engine(database_url: str, tmp_path: Path) -> BackedUp:
    return fill(database_url, tmp_path / "data")


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_the_manifest_counts_what_was_there_at_its_moment(
    engine: BackedUp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = BackupSnapshot.take

    async def take_and_go_on(snapshot: BackupSnapshot) -> None:
        """After the snapshot, as it happens under load: clicks are recorded, and the rest is folded."""
        await take(snapshot)
        engine.record(10)
        await engine.journal.sync()
        async with opened(engine.database_url) as open_role:
            ledger = PostgresClickLedger(await open_role("waypost_aggregator"))
            await fold(ledger, engine.journal, RECORDED + 10)

    monkeypatch.setattr(BackupSnapshot, "take", take_and_go_on)
    file = tmp_path / "backup.tar"
    manifest = back_up(engine, file)
    assert (manifest.clicks, manifest.rows["links"], manifest.rows["journals"]) == (FOLDED, 2, 1)
    (journal,) = manifest.journals
    assert (journal.id, journal.folded) == (engine.journal.id, FOLDED)
    assert journal.kept == 1
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert names(tmp_path) == {"data", "backup.tar"}


def test_a_journal_that_was_retired_is_left_out(engine: BackedUp, tmp_path: Path) -> None:
    execute(engine.database_url, "UPDATE waypost.journals SET retired_at = now()")
    manifest = back_up(engine, tmp_path / "backup.tar")
    assert (manifest.journals, [m.name for m in manifest.members]) == (
        [], ["owner.json", "postgres.sql.gz.000000"],
    )  # fmt: skip


def written(path: Path, data: bytes, *, force: bool = False) -> None:
    with BackupFile(path, force=force) as file:
        file.write(data)
        file.finish()


def test_an_existing_file_is_replaced_only_by_force(tmp_path: Path) -> None:
    path = tmp_path / "backup.tar"
    path.write_bytes(b"precious")
    with pytest.raises(BackupError, match="exists: name another file, or replace it with --force"):
        written(path, b"new")
    assert path.read_bytes() == b"precious"
    written(path, b"new", force=True)
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"new", 0o600)
    for place, reason in ((tmp_path, "is a folder"), (path / "x", "cannot be written: Not a dir")):
        with pytest.raises(BackupError, match=reason):
            written(place, b"", force=True)


def test_a_file_that_appears_meanwhile_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "backup.tar"
    with BackupFile(path, force=False) as file:
        path.write_bytes(b"precious")
        with pytest.raises(BackupError, match="exists"):
            file.finish()
    assert (path.read_bytes(), names(tmp_path)) == (b"precious", {"backup.tar"})


def test_two_backups_to_one_file_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "backup.tar"
    # What a run that was killed has left is no obstacle.
    (tmp_path / "backup.tar.unfinished").write_bytes(b"x" * 100)
    with (
        BackupFile(path, force=False),
        pytest.raises(BackupError, match="another backup is being written"),
    ):
        written(path, b"second")
    assert names(tmp_path) == set()
    written(path, b"third")
    assert path.read_bytes() == b"third"


def test_a_full_disk_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(BackupError, match="cannot be written: File too large"):
            written(tmp_path / "backup.tar", bytes(5000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert names(tmp_path) == set()
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(BackupError, match="standard output cannot be written: No space left"):
            written(Path("-"), bytes(500_000))


def test_the_engines_disk_is_not_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "backup.tar"
    with BackupFile(path, force=False) as file:
        file.leave_room_for(tmp_path)
        file.leave_room_for(tmp_path / "missing")
        file.leave_room_for(Path("/proc"))
        monkeypatch.setattr("api.command.backup.MIN_FREE_BYTES", 2**60)
        file.leave_room_for(Path("/proc"))  # another disk
        file.write(b"x")
        with pytest.raises(BackupError, match=r"are free on the disk of .* needs them for clicks"):
            file.leave_room_for(tmp_path)
        with pytest.raises(BackupError, match="are free on the disk"):
            file.write(b"x")
    assert names(tmp_path) == set()


def test_a_file_that_was_named_in_between_is_not_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another run ends between this one's open and lock."""
    unfinished, path = tmp_path / "backup.tar.unfinished", tmp_path / "backup.tar"
    unfinished.write_bytes(b"precious")
    flock = fcntl.flock

    def end_the_other(file: int, operation: int) -> None:
        unfinished.rename(path)
        flock(file, operation)

    monkeypatch.setattr("fcntl.flock", end_the_other)
    with pytest.raises(BackupError, match="another backup is being written"):
        BackupFile(path, force=True).__enter__()
    assert path.read_bytes() == b"precious"


def test_standard_output_has_the_backup_alone(engine: BackedUp, tmp_path: Path) -> None:
    file = tmp_path / "piped.tar"
    with file.open("wb") as out:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "api.command", "backup", "-", "--data", str(engine.folder)],
            env=environment(DATABASE_URL=engine.database_url, REDIS_URL="redis://127.0.0.1:1"),
            cwd=ROOT, stdout=out, stderr=subprocess.PIPE, text=True, timeout=60, check=True,
        )  # fmt: skip
    assert manifest_of(file).clicks == FOLDED
    lines = done.stderr.splitlines()
    assert "copying Postgres" in lines
    assert lines[-1].startswith("backed up what was counted until")


def test_a_stop_leaves_no_file(engine: BackedUp, tmp_path: Path) -> None:
    target = BackupFile(tmp_path / "backup.tar", force=False)
    stop = Stop()

    async def request_stop_when_it_waits(connection: Connection) -> None:
        # The backup has to wait for this lock.
        await connection.execute("BEGIN; LOCK TABLE waypost.user_agents")
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        while not await connection.fetchval(waiting):  # noqa: ASYNC110  # in the database
            await asyncio.sleep(0.01)
        stop.request()

    async def connected() -> None:
        connection = await asyncpg.connect(engine.database_url)
        try:
            await request_stop_when_it_waits(connection)
            await asyncio.sleep(60)
        finally:
            await connection.close()

    async def stopped() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(in_asyncio, connected)
            with pytest.raises(StoppedError, match="no backup was written"):
                await run.run(stop)
            nursery.cancel_scope.cancel()

    with Backup(settings(engine.database_url, "redis://x"), engine.folder, target) as run:
        hosted_run(stopped)
    assert names(tmp_path) == {"data"}


def test_without_an_engine_nothing_is_made(tmp_path: Path) -> None:
    file = BackupFile(tmp_path / "backup.tar", force=False)
    with pytest.raises(BackupError, match="is no data folder of an engine"):
        Backup(settings(), tmp_path / "data", file).__enter__()
    nowhere = settings("postgresql://waypost@/waypost?host=/nonexistent", "redis://127.0.0.1:1")
    with Backup(nowhere, tmp_path / "data", file) as run, pytest.raises(UnavailableError):
        hosted_run(lambda: run.run(Stop()))
    assert names(tmp_path) == set()


def test_a_database_that_lacks_migrations_is_refused(
    bare_database_url: str, engine: BackedUp, tmp_path: Path
) -> None:
    with pytest.raises(WaypostError, match="run `waypost migrate` first"):
        back_up(engine._replace(database_url=bare_database_url), tmp_path / "backup.tar")
    assert names(tmp_path) == {"data"}


def test_a_journal_that_ends_after_the_snapshot_is_looked_at_again(
    engine: BackedUp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its edge stops: the rest is counted, its row is retired and its folder deleted."""
    take, takes = BackupSnapshot.take, []

    async def take_and_end(snapshot: BackupSnapshot) -> None:
        await take(snapshot)
        takes.append(snapshot.id)
        if len(takes) == 1:
            async with opened(engine.database_url) as open_role:
                ledger = PostgresClickLedger(await open_role("waypost_aggregator"))
                await fold(ledger, engine.journal, RECORDED)
                await ledger.delete_journal(engine.journal.id)
            engine.journal.close(remove=True)

    monkeypatch.setattr(BackupSnapshot, "take", take_and_end)
    manifest = back_up(engine, tmp_path / "backup.tar")
    assert (len(takes), manifest.clicks, manifest.journals) == (2, RECORDED, [])


def test_a_journal_that_comes_and_goes_is_looked_at_again(
    engine: BackedUp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A segment is begun, counted and deleted between the two looks: the second snapshot has its clicks."""
    take, takes = BackupSnapshot.take, []

    async def take_and_lose(snapshot: BackupSnapshot) -> None:
        await take(snapshot)
        takes.append(snapshot.id)
        if len(takes) == 1:
            engine.journal._clock = lambda: 1e12
            engine.journal.seal(1)
            engine.record(1)
            engine.journal.seal(1)
            await in_asyncio(commit)
            engine.journal.forget(RECORDED + 1)

    async def commit() -> None:
        connection = await asyncpg.connect(engine.database_url)
        await connection.execute(f"UPDATE waypost.journals SET folded = {RECORDED + 1}")
        await connection.close()

    monkeypatch.setattr(BackupSnapshot, "take", take_and_lose)
    (journal,) = back_up(engine, tmp_path / "backup.tar").journals
    assert (len(takes), journal.folded) == (2, RECORDED + 1)
