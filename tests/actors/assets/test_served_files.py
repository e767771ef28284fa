"""The memory of files that an edge serves: bounded in bytes, in missing files and in visitors that wait."""

from typing import Any

import pytest
import trio
import trio.testing

import actors.assets.served_files as served_files
from actors.assets.served_files import EdgeAssetFiles
from engine.assets.address import AssetFile
from engine.visits.request import UNKNOWN_CLIENT
from storage.assets.memory_files import MemoryAssetFiles


class World:
    def __init__(self) -> None:
        self.files = MemoryAssetFiles()
        self.served = EdgeAssetFiles(self.files, lambda: 0.0)
        self.delivered: list[tuple[list[Any], bool]] = []

    def deliver(self, results: list[tuple[list[Any], Any]], available: bool) -> None:
        self.delivered += [(waiters, available) for waiters, _ in results]

    async def read(self, *files: AssetFile) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.served.run, self.deliver)
            for file in files:
                assert self.served.wait("visitor", file, UNKNOWN_CLIENT) == 0
                await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()


def file(number: int) -> AssetFile:
    return AssetFile(f"{number:032x}", "320.jpg")


async def test_the_files_that_are_used_least_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(served_files, "MAX_BYTES", 10)
    world = World()
    for number in range(4):
        await world.files.write(file(number).hash, {"320.jpg": bytes(4)})
    await world.read(file(0), file(1))
    assert world.served.content(file(0)) == bytes(4)
    await world.read(file(2))
    assert [world.served.is_known(file(number)) for number in range(3)] == [True, False, True]
    assert {sample.name: sample.value for sample in world.served.samples()}[
        "waypost_asset_bytes"
    ] == 8


async def test_files_that_do_not_exist_are_remembered_in_bounds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(served_files, "MAX_MISSING", 2)
    world = World()
    await world.read(*map(file, range(4)))
    assert [world.served.is_known(file(number)) for number in range(4)] == [
        False,
        False,
        True,
        True,
    ]
    assert world.served.content(file(3)) is None


async def test_visitors_that_wait_are_bounded_and_delivered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(served_files, "MAX_WAITING", 2)
    world = World()
    assert [world.served.wait(n, file(0), UNKNOWN_CLIENT) for n in range(3)] == [0, 0, 503]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.served.run, world.deliver)
        await trio.testing.wait_all_tasks_blocked()
        assert world.served.wait(3, file(1), UNKNOWN_CLIENT) == 0
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert world.delivered == [([0, 1], True), ([3], True)]


async def test_a_store_that_does_not_answer_is_left(autojump_clock: object) -> None:
    class Stuck(MemoryAssetFiles):
        async def read(self, hash_: str, name: str) -> bytes | None:
            await trio.sleep_forever()

    world = World()
    world.served = EdgeAssetFiles(Stuck(), lambda: 0.0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.served.run, world.deliver)
        world.served.wait(1, file(0), UNKNOWN_CLIENT)
        await trio.sleep(served_files.READ_LIMIT_S + 1)
        nursery.cancel_scope.cancel()
    assert world.delivered == [([1], False)]
