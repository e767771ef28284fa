"""Daily keys that the edges of a machine share in a folder in memory."""

import os
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest

from engine.common.errors import UnavailableError
from engine.visits.daily_key import DAY_US, DailyKey
from storage.file_system import FileLock
from storage.visits import daily_keys
from storage.visits.daily_keys import (
    STALE_S,
    TmpfsKeyStore,
    delete_key_stores,
    is_in_memory,
    open_key_store,
)
from storage.visits.memory_daily_keys import MemoryKeyStore

DAY = 20_000
NOON_US = DAY * DAY_US + DAY_US // 2
ONE = DailyKey(DAY, True, 7, b"1" * 32)
OLDER = DailyKey(DAY, False, 5, b"2" * 32)
TOMORROW = DailyKey(DAY + 1, False, 9, b"3" * 32)


@pytest.fixture
def stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of key stores, in place of the machine's own memory."""
    monkeypatch.setattr(daily_keys, "_candidates", lambda: [tmp_path])
    monkeypatch.setattr(daily_keys, "is_in_memory", lambda _: True)
    return tmp_path


@pytest.fixture(params=["memory", "file"])
def store(request: pytest.FixtureRequest, stores: Path) -> Any:
    return MemoryKeyStore() if request.param == "memory" else open_key_store(stores / "data")


def test_every_exchange_returns_the_best_key_of_each_day(store: Any) -> None:
    assert store.exchange([], NOON_US) == {}
    assert store.exchange([OLDER], NOON_US) == {DAY: OLDER}
    assert store.exchange([ONE], NOON_US) == {DAY: ONE}  # a key in use precedes an older one
    assert store.exchange([OLDER], NOON_US) == {DAY: ONE}
    assert store.exchange([TOMORROW], NOON_US) == {DAY: ONE}  # too early
    evening = NOON_US + DAY_US // 2 - 1_000_000
    assert store.exchange([TOMORROW], evening) == {DAY: ONE, DAY + 1: TOMORROW}
    assert store.exchange([], NOON_US + DAY_US * 3 // 2) == {DAY + 1: TOMORROW}
    assert store.exchange([], NOON_US + DAY_US * 5 // 2) == {}


def test_a_folder_is_for_one_user_and_of_one_data_folder(stores: Path) -> None:
    one, other = open_key_store(stores / "one"), open_key_store(stores / "other")
    assert one is not None
    assert other is not None
    assert one.folder == open_key_store(stores / "x" / ".." / "one").folder  # type: ignore[union-attr]
    assert one.exchange([ONE], NOON_US) == {DAY: ONE}
    assert other.exchange([], NOON_US) == {}
    assert stat.S_IMODE(one.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((one.folder / "keys").stat().st_mode) == 0o600
    again = open_key_store(stores / "one")
    assert again is not None
    assert again.exchange([], NOON_US) == {DAY: ONE}


def test_a_deleted_folder_is_created_again(stores: Path) -> None:
    store = open_key_store(stores / "data")
    assert store is not None
    store.exchange([ONE], NOON_US)
    shutil.rmtree(store.folder)
    assert store.exchange([ONE], NOON_US) == {DAY: ONE}
    assert stat.S_IMODE(store.folder.stat().st_mode) == 0o700
    shutil.rmtree(store.folder)
    store.folder.write_text("another program's")
    with pytest.raises(OSError, match=r"belongs|cannot make|Not a directory"):
        store.exchange([ONE], NOON_US)


def test_an_exchange_during_another_is_unavailable(stores: Path) -> None:
    store = open_key_store(stores / "data")
    assert store is not None
    lock = FileLock(store.folder / "lock")
    assert lock.acquire()
    with pytest.raises(UnavailableError):
        store.exchange([ONE], NOON_US)
    lock.release()
    assert store.exchange([ONE], NOON_US) == {DAY: ONE}


@pytest.mark.parametrize("data", [b"", b"[", b"\xff" * 10_000, b'[[1,true,2,"00"]]'])
def test_a_damaged_file_is_replaced(data: bytes, stores: Path) -> None:
    store = open_key_store(stores / "data")
    assert store is not None
    (store.folder / "keys").write_bytes(data)
    assert store.exchange([ONE], NOON_US) == {DAY: ONE}
    assert store.exchange([], NOON_US) == {DAY: ONE}


def test_the_key_store_of_a_deleted_data_folder_is_deleted(stores: Path) -> None:
    (stores / "here").mkdir()
    kept, orphaned = open_key_store(stores / "here"), open_key_store(stores / "gone")
    assert kept is not None
    assert orphaned is not None
    open_key_store(stores / "next")
    assert kept.folder.exists()
    assert not orphaned.folder.exists()


def test_a_stale_key_store_is_deleted(stores: Path) -> None:
    for name in ("left", "fresh"):
        (stores / name).mkdir()
    abandoned, fresh = open_key_store(stores / "left"), open_key_store(stores / "fresh")
    assert abandoned is not None
    assert fresh is not None
    abandoned.exchange([ONE], NOON_US)
    old = abandoned.folder.stat().st_mtime - STALE_S - 60
    os.utime(abandoned.folder, (old, old))
    open_key_store(stores / "next")
    assert not abandoned.folder.exists()
    assert fresh.folder.exists()


def test_the_key_stores_of_data_folders_below_a_folder_are_deleted(stores: Path) -> None:
    ours, theirs = open_key_store(stores / "ours" / "data"), open_key_store(stores / "theirs")
    assert ours is not None
    assert theirs is not None
    delete_key_stores(stores / "ours")
    assert not ours.folder.exists()
    assert theirs.folder.exists()


def test_a_disk_is_not_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not is_in_memory(tmp_path / "none")
    assert not is_in_memory(Path("/proc"))
    monkeypatch.setattr(daily_keys, "_candidates", lambda: [Path("/proc"), tmp_path / "none"])
    assert open_key_store(tmp_path) is None


def test_a_foreign_folder_is_not_used(stores: Path) -> None:
    first_store = open_key_store(stores / "data")
    assert first_store is not None
    shutil.rmtree(first_store.folder)
    (stores / "elsewhere").mkdir()
    first_store.folder.symlink_to(stores / "elsewhere")
    second_store = open_key_store(stores / "data")
    assert second_store is None or not second_store.folder.is_symlink()
    assert list((stores / "elsewhere").iterdir()) == []


@pytest.mark.skipif(not is_in_memory(Path("/dev/shm")), reason="this machine has no /dev/shm")
def test_the_key_store_of_this_machine_is_in_memory(tmp_path: Path) -> None:
    store = open_key_store(tmp_path)
    assert isinstance(store, TmpfsKeyStore)
    try:
        assert is_in_memory(store.folder)
        assert store.exchange([ONE], NOON_US) == {DAY: ONE}
    finally:
        for file in store.folder.iterdir():
            file.unlink()
        store.folder.rmdir()
