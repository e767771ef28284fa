"""`waypost restore` over real servers: what comes back, and what is refused."""

import errno
import os
import re
import shutil
from collections.abc import Iterator
from datetime import UTC, timedelta
from functools import partial
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import asyncpg
import msgspec
import pytest
import redis

from actors.operations.runtime import Stop
from api.command.restore import Restore, show, uncounted
from engine.common.errors import WaypostError
from engine.operations.backup import BackupError
from storage.accounts.keys import PostgresApiKeyStore
from storage.audit.verification import verify
from storage.clicks.ledger import PostgresClickLedger
from storage.clicks.recovery import OrphanReader
from storage.embedded import EmbeddedError, lock_folder
from storage.embedded.folder import UNFINISHED_RESTORE
from storage.migrations.schema import dump as schema_of
from storage.operations.backup_file import BackupReader
from storage.operations.restore_folder import RestoreFolder
from storage.visits.snapshots import PostgresSnapshotSource
from tests.conftest import Servers, execute, on_connection, with_database
from tests.kit.backed_up import (
    FOLDED,
    RECORDED,
    BackedUp,
    back_up,
    contents,
    fill,
    restore,
    settings,
)
from tests.kit.hosted import hosted_run
from tests.kit.stores import opened

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def engine(
    servers: Servers,
    template: str,
    plain_user: "PlainUser",
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[BackedUp]:
    name = f"{template}_backed_up"
    execute(servers.database_url, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
    try:
        url = with_database(servers.database_url, name)
        filled = fill(url, tmp_path_factory.mktemp("engine") / "data")
        # As of another cluster, whose transactions have run far ahead of this one's.
        execute(url, "UPDATE waypost.profile_changes SET xid = '4611686018427387904'")
        # Of another machine.
        execute(url, "INSERT INTO waypost.journals (journal_id) VALUES (gen_random_uuid())")
        yield filled
    finally:
        execute(servers.database_url, f"DROP DATABASE {name} WITH (FORCE)")


class PlainUser(NamedTuple):
    """A login that is no superuser: it has Waypost's roles and sees all rows, as on a hosted Postgres."""

    name: str

    def url(self, database_url: str) -> str:
        """Return the URL for this user, who may make schemas in that database."""
        execute(
            database_url,
            f"GRANT CREATE ON DATABASE {urlsplit(database_url).path[1:]} TO {self.name}",
        )
        hosts = urlsplit(database_url).netloc.rpartition("@")[2]
        return urlsplit(database_url)._replace(netloc=f"{self.name}:s%40crt@{hosts}").geturl()


@pytest.fixture(scope="module")
def plain_user(servers: Servers, template: str) -> Iterator[PlainUser]:
    name = f"{template}_plain"
    execute(servers.database_url, f"CREATE ROLE {name} LOGIN CREATEROLE BYPASSRLS PASSWORD 's@crt'")
    roles = "waypost_owner, waypost_app, waypost_edge, waypost_aggregator"
    execute(servers.database_url, f"GRANT {roles} TO {name}")
    yield PlainUser(name)
    execute(servers.database_url, f"DROP ROLE {name}")


@pytest.fixture(scope="module")
def file(engine: BackedUp, plain_user: PlainUser) -> Path:
    path = engine.folder.with_name("backup.tar")
    back_up(engine._replace(database_url=plain_user.url(engine.database_url)), path)
    return path


def refusal(config: object, folder: Path, file: Path) -> str:
    with pytest.raises(WaypostError) as refused:
        restore(config, folder, file)  # type: ignore[arg-type]
    assert "\n" not in str(refused.value)
    return str(refused.value)


def raw_rows(database_url: str) -> tuple[int, int]:
    """Return the number of raw rows, and of distinct clicks among them."""

    async def count(connection: "asyncpg.Connection[asyncpg.Record]") -> tuple[int, int]:
        (row,) = await connection.fetch(
            "SELECT count(*), count(DISTINCT (journal_id, sequence)) FROM waypost.clicks"
        )
        return row[0], row[1]

    return on_connection(database_url, count)


async def fold_the_rest(database_url: str, folder: Path) -> None:
    """Fold what the restored journal has above its watermark, as an edge and an aggregator do."""
    (journal,) = (folder / "journals").iterdir()
    reader = OrphanReader(journal)
    assert reader.adopt()
    async with opened(database_url) as open_role:
        ledger = PostgresClickLedger(await open_role("waypost_aggregator"))
        leases = await ledger.lease("restored", 10, 10.0)
        (lease,) = [lease for lease in leases if lease.journal_id == reader.id]
        while (batch := reader.read(lease.folded, 1)) is not None:
            lease = await ledger.commit(lease, [batch])
    reader.close(remove=False)


async def polled(database_url: str) -> list[object]:
    """Return what an edge's second poll for changes finds."""
    async with opened(database_url) as open_role:
        source = PostgresSnapshotSource(await open_role("waypost_edge"))
        _, cursor = await source.changes(None)
        changes, _ = await source.changes(cursor)
    return ["too many"] if changes is None else [*changes]


def test_all_comes_back_and_what_was_not_counted_is_counted_once(
    engine: BackedUp, file: Path, plain_user: PlainUser, bare_database_url: str, redis_url: str,
    tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    folder = tmp_path / "restored"
    result = restore(settings(plain_user.url(bare_database_url), redis_url), folder, file)
    capsys.readouterr()
    show(result, folder, result.manifest.moment + timedelta(days=1, minutes=62))
    first, *lines = capsys.readouterr().out.splitlines()
    moment = result.manifest.moment.astimezone(UTC)
    assert first == f"restored the state of {moment:%Y-%m-%d %H:%M:%S} UTC, 1 d 1 h ago"
    assert lines[0] == f"  counted   {FOLDED} raw clicks and views"
    assert lines[1].startswith(f"  not yet   {RECORDED - FOLDED} more are in journals")
    assert any(line.startswith("  elsewhere 1 journals, of other machines") for line in lines)
    assert result.uncounted == (RECORDED - FOLDED, 0)
    assert contents(bare_database_url) == contents(engine.database_url)
    schema = schema_of(bare_database_url)
    restored_comment = re.compile(
        r"COMMENT ON SCHEMA waypost IS 'restored from the backup \w{64}';\n\n"
    )
    assert restored_comment.sub("", schema) == schema_of(engine.database_url) != schema
    assert hosted_run(partial(verify, bare_database_url)).broken == ""
    assert hosted_run(partial(polled, bare_database_url)) == []
    assert hosted_run(partial(polled, engine.database_url)) != []  # what the new ids are for

    async def owner_key_works() -> bool:
        async with opened(bare_database_url) as open_role:
            keys = PostgresApiKeyStore(await open_role("waypost_app"))
            return await keys.authenticate(engine.api_key) is not None

    assert engine.api_key in (folder / "owner.json").read_text()
    assert hosted_run(owner_key_works)
    assert {path.name for path in folder.iterdir()} == {"lock", "journals", "owner.json"}
    modes = {path.stat().st_mode & 0o777 for path in (folder / "owner.json", *folder.glob("*/*/*"))}
    assert modes == {0o600}
    hosted_run(partial(fold_the_rest, bare_database_url, folder))
    assert raw_rows(bare_database_url) == (RECORDED, RECORDED)


def test_servers_and_folders_that_are_not_empty_are_refused(
    engine: BackedUp, file: Path, bare_database_url: str, redis_url: str, tmp_path: Path
) -> None:
    new = settings(bare_database_url, redis_url)
    folder = tmp_path / "restored"
    text = refusal(settings(engine.database_url, redis_url), folder, file)
    assert text.startswith("the database of DATABASE_URL is not empty")
    with redis.Redis.from_url(redis_url) as client:
        client.set("x", 1)
        assert "the Redis of REDIS_URL is not empty (1 keys)" in refusal(new, folder, file)
        client.delete("x")
    assert {path.name for path in folder.iterdir()} == {"lock"}
    assert f"{engine.folder} is not empty" in refusal(new, engine.folder, file)
    assert f"{file} is not a folder" in refusal(new, file, file)
    with lock_folder(folder):
        assert "in use by process" in refusal(new, folder, file)


def test_damaged_files_and_other_versions_are_refused_before_anything_is_touched(
    file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "restored"
    nowhere = settings("postgresql://nowhere.invalid/x", "redis://nowhere.invalid")
    data = file.read_bytes()
    damaged = tmp_path / "damaged.tar"
    for content in (data[:-1], data[:5000], b"", data[:9000] + b"\xff" + data[9001:]):
        damaged.write_bytes(content)
        assert f"{damaged} cannot be restored: it" in refusal(nowhere, folder, damaged)
    assert "no such file" in refusal(nowhere, folder, tmp_path / "missing").lower()
    monkeypatch.setattr("api.command.restore.migrations.migrations", list)
    assert "with another schema than this version's (it has 0001_" in refusal(nowhere, folder, file)
    assert not folder.exists()


def test_rows_that_are_missing_after_loading_leave_an_empty_database(
    file: Path,
    bare_database_url: str,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    folder, new = tmp_path / "restored", settings(bare_database_url, redis_url)
    with Restore(new, folder, file) as run:
        run.manifest.rows["links"] += 1
        with pytest.raises(
            BackupError, match="the table links has 2 rows after loading, and not 3"
        ):
            hosted_run(lambda: run.run(Stop()))
    assert contents(bare_database_url)["links"] == []
    assert {path.name for path in folder.iterdir()} == {"lock"}
    monkeypatch.setattr(BackupReader, "unzipped", lambda *_: iter([b"SELECT 1 / 0;\n"]))
    assert refusal(new, folder, file).endswith("ERROR:  division by zero")
    assert {path.name for path in folder.iterdir()} == {"lock"}


def test_a_backup_of_a_later_postgres_is_refused(
    file: Path, bare_database_url: str, redis_url: str, tmp_path: Path
) -> None:
    with Restore(settings(bare_database_url, redis_url), tmp_path / "restored", file) as run:
        run.manifest = msgspec.structs.replace(run.manifest, postgres=990_001)
        with pytest.raises(BackupError, match="the backup is of Postgres 99, and the server is"):
            hosted_run(lambda: run.run(Stop()))
    assert {path.name for path in (tmp_path / "restored").iterdir()} == {"lock"}


def test_a_restore_that_was_killed_is_begun_again_or_finished(
    engine: BackedUp, file: Path, bare_database_url: str, redis_url: str, tmp_path: Path
) -> None:
    folder, new = tmp_path / "restored", settings(bare_database_url, redis_url)
    with file.open("rb") as content:
        backup = BackupReader(content)
        backup.verify()
        with lock_folder(folder):
            killed = RestoreFolder(folder)
            killed.begin(backup.manifest_sha256)
            killed.write(backup, backup.streams()[0])
        with pytest.raises(EmbeddedError, match="holds an unfinished restore"):
            lock_folder(folder)
        assert restore(new, folder, file).uncounted.clicks == RECORDED - FOLDED
        # Killed behind the commit, the last step but one.
        (folder / UNFINISHED_RESTORE).write_text(backup.manifest_sha256)
        result = restore(new, folder, file)
        assert result.uncounted.clicks == RECORDED - FOLDED
        assert not (folder / UNFINISHED_RESTORE).exists()
        # The original has gone on, and its journal has survived: it has all that the backup's has, and more.
        engine.record(10)
        shutil.copytree(engine.folder / "journals", folder / "journals", dirs_exist_ok=True)
        (journal,) = [held for held in result.manifest.journals if held.kept]
        files = folder / "journals" / journal.id.hex
        assert uncounted(files, journal) == (RECORDED + 10 - FOLDED, 0)
        # Of another backup: what is in the database is not this one's.
        (folder / UNFINISHED_RESTORE).write_text("0" * 64)
        assert "is not empty" in refusal(new, folder, file)


def test_a_folder_that_cannot_be_written_is_refused(file: Path, tmp_path: Path) -> None:
    below_a_file = file / "restored"
    nowhere = settings("postgresql://nowhere.invalid/x", "redis://nowhere.invalid")
    assert "cannot make the folder" in refusal(nowhere, below_a_file, file)
    read_only = Path("/proc/waypost")
    assert "cannot make the folder" in refusal(nowhere, read_only, file)


def test_a_disk_that_becomes_full_is_refused_in_one_line(
    file: Path,
    tmp_path: Path,
    bare_database_url: str,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def write(self: RestoreFolder, backup: BackupReader, stream: str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(RestoreFolder, "write", write)
    folder = tmp_path / "restored"
    new = settings(bare_database_url, redis_url)
    assert refusal(new, folder, file) == f"{folder} cannot be written: No space left on device"
    assert {path.name for path in folder.iterdir()} <= {"lock"}
