"""The owner's file: made once, wherever the process that makes it dies, and never lost."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from api.processes import owner
from api.processes.owner import FILE, PENDING, OwnerFile, create, refresh_urls
from engine.common.errors import WaypostError
from engine.operations.settings import Settings
from storage.accounts.keys import OwnerCredentials, PostgresApiKeyStore, ensure_owner
from storage.file_system import FileLock
from storage.postgres.database import Database
from tests.kit.hosted import hosted_run
from tests.kit.stores import FAST, OpenDatabase

pytestmark = [pytest.mark.trio(run=hosted_run), pytest.mark.slow]

SETTINGS = Settings(visitors_url="http://v", console_url="http://c")


@pytest.fixture(autouse=True)
def fast_hashes() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("storage.accounts.keys.argon2.PasswordHasher", lambda: FAST)
        yield


@pytest.fixture
async def database(open_database: OpenDatabase) -> Database:
    return await open_database("waypost_app")


class CrashError(Exception):
    """The end of the process in the middle of its work."""


def content(folder: Path) -> OwnerFile:
    return msgspec.json.decode((folder / FILE).read_bytes(), type=OwnerFile)


def files(folder: Path) -> list[Path]:
    return list(folder.glob(f"{FILE}*"))


async def works(database: Database, folder: Path) -> bool:
    """Return whether the key of the file is one of the database."""
    assert (folder / FILE).stat().st_mode & 0o777 == 0o600
    assert not (folder / PENDING).exists()
    key = content(folder).api_key
    return await PostgresApiKeyStore(database).authenticate(key) is not None


async def test_of_machines_that_start_at_once_one_gets_the_file(
    database: Database, tmp_path: Path
) -> None:
    made: dict[Path, bool] = {}

    async def start(folder: Path) -> None:
        made[folder] = await create(database, SETTINGS, folder)

    async with trio.open_nursery() as nursery:
        for name in "abc":
            nursery.start_soon(start, tmp_path / name)
    (folder,) = [folder for folder, created in made.items() if created]
    assert await works(database, folder)
    assert [other for other in made if files(other)] == [folder]
    assert not await create(database, SETTINGS, tmp_path / "later")


async def test_processes_that_start_at_once_on_one_folder_make_one_file(
    database: Database, tmp_path: Path
) -> None:
    created: list[bool] = []

    async def start() -> None:
        created.append(await create(database, SETTINGS, tmp_path))

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(start)
    assert sorted(created) == [False, False, True]
    assert await works(database, tmp_path)


async def test_the_file_of_a_live_run_is_not_taken_for_one_of_a_crash(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    committed, refused, goes_on = trio.Event(), trio.Event(), trio.Event()

    class WatchedLock(FileLock):
        def acquire(self) -> bool:
            acquired = super().acquire()
            if not acquired:
                refused.set()
            return acquired

    async def make_and_wait(*arguments: Any, **keywords: Any) -> OwnerCredentials | None:
        credentials = await ensure_owner(*arguments, **keywords)
        committed.set()
        await goes_on.wait()
        return credentials

    created: list[bool] = []

    async def start() -> None:
        created.append(await create(database, SETTINGS, tmp_path))

    monkeypatch.setattr("api.processes.owner.ensure_owner", make_and_wait)
    monkeypatch.setattr("api.processes.owner.FileLock", WatchedLock)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(start)
        await committed.wait()
        nursery.start_soon(start)
        with trio.move_on_after(5):
            await refused.wait()
        goes_on.set()
    assert created == [True, False]
    assert await works(database, tmp_path)


async def test_a_crash_behind_the_commit_leaves_a_file_that_the_next_run_keeps(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(_: Path) -> None:
        raise CrashError

    monkeypatch.setattr(owner, "_name", crash)
    with pytest.raises(CrashError):
        await create(database, SETTINGS, tmp_path)
    monkeypatch.undo()
    assert not (tmp_path / FILE).exists()
    pending = msgspec.json.decode((tmp_path / PENDING).read_bytes(), type=OwnerFile)
    assert await create(database, SETTINGS, tmp_path)
    assert await works(database, tmp_path)
    assert content(tmp_path) == pending


async def test_a_crash_ahead_of_the_commit_leaves_a_file_that_the_next_run_replaces(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = owner._write

    def write_and_crash(path: Path, file: OwnerFile) -> None:
        kept(path, file)
        raise CrashError

    monkeypatch.setattr(owner, "_write", write_and_crash)
    with pytest.raises(CrashError):
        await create(database, SETTINGS, tmp_path)
    monkeypatch.undo()
    before = (tmp_path / PENDING).read_bytes()
    assert await create(database, SETTINGS, tmp_path)
    assert await works(database, tmp_path)
    assert (tmp_path / FILE).read_bytes() != before


@pytest.mark.parametrize("data", [b"", b'{"email": "owner@lo'])
async def test_a_file_that_was_half_written_is_replaced(
    database: Database, tmp_path: Path, data: bytes
) -> None:
    (tmp_path / PENDING).write_bytes(data)
    assert await create(database, SETTINGS, tmp_path)
    assert await works(database, tmp_path)


async def test_a_crashed_run_whose_owner_another_machine_made_keeps_no_file(
    database: Database, tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    second.mkdir()
    assert await create(database, SETTINGS, first)
    lost = msgspec.structs.replace(content(first), api_key="wp_" + "a" * 43)
    (second / PENDING).write_bytes(msgspec.json.encode(lost))
    assert not await create(database, SETTINGS, second)
    assert not files(second)


async def test_a_file_that_cannot_be_written_creates_no_owner(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: Path, __: OwnerFile) -> None:
        raise WaypostError("no space left on device")

    monkeypatch.setattr(owner, "_write", full)
    with pytest.raises(WaypostError, match="no space left"):
        await create(database, SETTINGS, tmp_path)
    monkeypatch.undo()
    assert await create(database, SETTINGS, tmp_path)
    assert await works(database, tmp_path)


async def test_urls_are_brought_up_to_date_where_a_file_is(
    database: Database, tmp_path: Path
) -> None:
    refresh_urls(SETTINGS, tmp_path)
    assert not files(tmp_path)
    await create(database, SETTINGS, tmp_path)
    before = content(tmp_path)
    refresh_urls(Settings(visitors_url="https://v.example"), tmp_path)
    assert content(tmp_path) == msgspec.structs.replace(before, visitors_url="https://v.example")
    (tmp_path / FILE).write_text("{}")
    with pytest.raises(WaypostError, match="cannot be read"):
        refresh_urls(SETTINGS, tmp_path)
