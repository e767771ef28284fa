"""What edges share without writing it down: a folder in memory, and a channel of Redis."""

import os
import shutil
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio

from engine.common.errors import UnavailableError
from engine.visits.daily_key import DAY_US, DailyKey
from storage.clicks.files import FileLock
from storage.redis.client import RedisServer
from storage.visits import daily_keys
from storage.visits.daily_keys import (
    STALE_S,
    RedisDailyKeyChannel,
    TmpfsKeyStore,
    is_in_memory,
    open_key_store,
)
from storage.visits.memory_daily_keys import MemoryDailyKeyChannel, MemoryKeyBroker, MemoryKeyStore
from tests.kit.hosted import hosted_run

DAY = 20_000
NOON_US = DAY * DAY_US + DAY_US // 2
ONE = DailyKey(DAY, True, 7, b"1" * 32)
OLDER = DailyKey(DAY, False, 5, b"2" * 32)
TOMORROW = DailyKey(DAY + 1, False, 9, b"3" * 32)


@pytest.fixture
def shelves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where shelves are made, in place of the machine's own memory."""
    monkeypatch.setattr(daily_keys, "_candidates", lambda: [tmp_path])
    monkeypatch.setattr(daily_keys, "is_in_memory", lambda _: True)
    return tmp_path


@pytest.fixture(params=["memory", "file"])
def shelf(request: pytest.FixtureRequest, shelves: Path) -> Any:
    return MemoryKeyStore() if request.param == "memory" else open_key_store(shelves / "data")


def test_the_best_of_each_day_is_what_everybody_gets(shelf: Any) -> None:
    assert shelf.exchange([], NOON_US) == {}
    assert shelf.exchange([OLDER], NOON_US) == {DAY: OLDER}
    assert shelf.exchange([ONE], NOON_US) == {DAY: ONE}  # in use goes before older
    assert shelf.exchange([OLDER], NOON_US) == {DAY: ONE}
    assert shelf.exchange([TOMORROW], NOON_US) == {DAY: ONE}  # too early
    evening = NOON_US + DAY_US // 2 - 1_000_000
    assert shelf.exchange([TOMORROW], evening) == {DAY: ONE, DAY + 1: TOMORROW}
    assert shelf.exchange([], NOON_US + DAY_US * 3 // 2) == {DAY + 1: TOMORROW}
    assert shelf.exchange([], NOON_US + DAY_US * 5 // 2) == {}


def test_a_folder_is_for_one_user_and_of_one_data_folder(shelves: Path) -> None:
    one, other = open_key_store(shelves / "one"), open_key_store(shelves / "other")
    assert one is not None
    assert other is not None
    assert one.folder == open_key_store(shelves / "x" / ".." / "one").folder  # type: ignore[union-attr]
    assert one.exchange([ONE], NOON_US) == {DAY: ONE}
    assert other.exchange([], NOON_US) == {}
    assert stat.S_IMODE(one.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((one.folder / "keys").stat().st_mode) == 0o600
    again = open_key_store(shelves / "one")
    assert again is not None
    assert again.exchange([], NOON_US) == {DAY: ONE}


def test_a_folder_that_was_tidied_up_is_made_again(shelves: Path) -> None:
    shelf = open_key_store(shelves / "data")
    assert shelf is not None
    shelf.exchange([ONE], NOON_US)
    shutil.rmtree(shelf.folder)
    assert shelf.exchange([ONE], NOON_US) == {DAY: ONE}
    assert stat.S_IMODE(shelf.folder.stat().st_mode) == 0o700
    shutil.rmtree(shelf.folder)
    shelf.folder.write_text("somebody else's")
    with pytest.raises(OSError, match=r"belongs|cannot make|Not a directory"):
        shelf.exchange([ONE], NOON_US)


def test_who_finds_it_taken_says_so(shelves: Path) -> None:
    shelf = open_key_store(shelves / "data")
    assert shelf is not None
    lock = FileLock(shelf.folder / "lock")
    assert lock.acquire()
    with pytest.raises(UnavailableError):
        shelf.exchange([ONE], NOON_US)
    lock.release()
    assert shelf.exchange([ONE], NOON_US) == {DAY: ONE}


@pytest.mark.parametrize("data", [b"", b"[", b"\xff" * 10_000, b'[[1,true,2,"00"]]'])
def test_what_was_left_damaged_is_written_anew(data: bytes, shelves: Path) -> None:
    shelf = open_key_store(shelves / "data")
    assert shelf is not None
    (shelf.folder / "keys").write_bytes(data)
    assert shelf.exchange([ONE], NOON_US) == {DAY: ONE}
    assert shelf.exchange([], NOON_US) == {DAY: ONE}


def test_with_its_data_folder_a_shelf_goes_too(shelves: Path) -> None:
    (shelves / "here").mkdir()
    here, gone = open_key_store(shelves / "here"), open_key_store(shelves / "gone")
    assert here is not None
    assert gone is not None
    open_key_store(shelves / "next")
    assert here.folder.exists()
    assert not gone.folder.exists()


def test_what_nobody_came_back_for_is_removed(shelves: Path) -> None:
    for name in ("left", "fresh"):
        (shelves / name).mkdir()
    left, fresh = open_key_store(shelves / "left"), open_key_store(shelves / "fresh")
    assert left is not None
    assert fresh is not None
    left.exchange([ONE], NOON_US)
    old = left.folder.stat().st_mtime - STALE_S - 60
    os.utime(left.folder, (old, old))
    open_key_store(shelves / "next")
    assert not left.folder.exists()
    assert fresh.folder.exists()


def test_a_disk_is_not_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not is_in_memory(tmp_path / "none")
    assert not is_in_memory(Path("/proc"))
    monkeypatch.setattr(daily_keys, "_candidates", lambda: [Path("/proc"), tmp_path / "none"])
    assert open_key_store(tmp_path) is None


def test_a_foreign_folder_is_not_used(shelves: Path) -> None:
    made = open_key_store(shelves / "data")
    assert made is not None
    shutil.rmtree(made.folder)
    (shelves / "elsewhere").mkdir()
    made.folder.symlink_to(shelves / "elsewhere")
    found = open_key_store(shelves / "data")
    assert found is None or not found.folder.is_symlink()
    assert list((shelves / "elsewhere").iterdir()) == []


@pytest.mark.skipif(not is_in_memory(Path("/dev/shm")), reason="this machine has no /dev/shm")
def test_on_this_machine_it_is_in_memory(tmp_path: Path) -> None:
    shelf = open_key_store(tmp_path)
    assert isinstance(shelf, TmpfsKeyStore)
    try:
        assert is_in_memory(shelf.folder)
        assert shelf.exchange([ONE], NOON_US) == {DAY: ONE}
    finally:
        for file in shelf.folder.iterdir():
            file.unlink()
        shelf.folder.rmdir()


# ---- the channel ------------------------------------------------------------------------------------


@pytest.fixture(params=["memory", "redis"])
def url(request: pytest.FixtureRequest) -> str | None:
    return request.getfixturevalue("redis_url") if request.param == "redis" else None


@pytest.fixture
async def channels(url: str | None) -> AsyncIterator[list[Any]]:
    if url is None:
        memory = MemoryKeyBroker()
        yield [MemoryDailyKeyChannel(memory), MemoryDailyKeyChannel(memory)]
        return
    server = await RedisServer.open(url, size=2)
    yield [RedisDailyKeyChannel(server), RedisDailyKeyChannel(server)]
    await server.close()


@pytest.mark.slow
@pytest.mark.trio(run=hosted_run)
async def test_everybody_hears_and_the_sender_knows_how_many(channels: list[Any]) -> None:
    one, two = channels
    assert await one.send(b"nobody") == 0
    async with one.listen() as first:
        assert await one.send(b"alone") == 1
        async with two.listen() as second:
            assert await two.send(b"both") == 2
            with trio.fail_after(5):
                assert [await anext(first), await anext(first)] == [b"alone", b"both"]
                assert await anext(second) == b"both"


@pytest.mark.slow
@pytest.mark.trio(run=hosted_run)
async def test_an_error_of_the_listener_comes_out_as_it_is(channels: list[Any]) -> None:
    with pytest.raises(KeyError):
        async with channels[0].listen():
            raise KeyError("mine")


@pytest.mark.slow
@pytest.mark.trio(run=hosted_run)
async def test_without_a_server_it_is_0_and_counted() -> None:
    server = await RedisServer.open("unix:///nonexistent/socket", size=1)
    channel = RedisDailyKeyChannel(server)
    with trio.fail_after(10):
        assert await channel.send(b"x") == 0
        async with channel.listen():
            await trio.sleep(0.05)
    assert channel.counts["failed"] == 1
    assert channel.counts["disconnected"] > 0
    await server.close()
