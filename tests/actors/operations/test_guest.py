"""Trio as the guest of uvloop, with its waiting in the host loop: it runs as by trio's own guest run."""

import asyncio
import hashlib
import inspect
import os
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import outcome
import pytest
import trio
import uvloop
from trio._core import _io_epoll, _run

from actors.operations import guest
from actors.operations.guest import HostedGuest, is_known, start_guest

# Of the versions from FIRST_KNOWN to LAST_KNOWN. When a new one differs: read what changed, and whether
# HostedGuest still does what `GuestState.guest_tick` does, before the digest or the range is changed.
DRIVEN = "f9906e95dee7"
WAYS = ["in the host", "in a thread"]


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "in a thread":
        monkeypatch.setattr(trio, "__version__", "99.0.0")
    return str(request.param)


def hosted(main: Callable[[], Awaitable[Any]]) -> Any:
    """Run `main()` as a guest. Returns its value or raises its error."""
    loop = uvloop.new_event_loop()

    async def host() -> Any:
        finished: asyncio.Future[outcome.Outcome[Any]] = loop.create_future()
        start_guest(loop, main, finished.set_result)
        return (await finished).unwrap()

    try:
        return loop.run_until_complete(host())
    finally:
        loop.close()


def test_the_installed_trio_is_one_that_is_driven() -> None:
    assert is_known(trio.__version__)
    parts = (
        _run.GuestState, _run.Runner.force_guest_tick_asap, _run.start_guest_run,
        _io_epoll.EpollIOManager.get_events, _io_epoll.EpollIOManager.force_wakeup,
        _io_epoll.EpollIOManager.process_events,
    )  # fmt: skip
    lines = [line.strip() for part in parts for line in inspect.getsource(part).splitlines()]
    code = "\n".join(line for line in lines if line and not line.startswith("#"))
    assert hashlib.sha256(code.encode()).hexdigest()[:12] == DRIVEN


@pytest.mark.parametrize(
    ("version", "known"),
    [("0.29.9", False), ("0.30.0", True), ("0.35.1", True), ("0.36.0", False), ("1.0", False), ("dev", False)],
)  # fmt: skip
def test_only_versions_that_were_looked_at_are_driven(version: str, known: bool) -> None:
    assert is_known(version) is known


def test_no_thread_waits() -> None:
    before = threading.active_count()

    async def main() -> int:
        for _ in range(5):
            await trio.sleep(0.001)
        return threading.active_count()

    assert hosted(main) == before


def test_waiting_ends_by_a_deadline_a_thread_a_socket_and_the_host(way: str) -> None:
    async def main() -> list[str]:
        loop = asyncio.get_running_loop()
        ended: list[str] = []
        with trio.move_on_after(0.002):
            await trio.sleep_forever()
        ended.append("deadline")
        await trio.to_thread.run_sync(ended.append, "thread")
        ours, theirs = trio.socket.socketpair()
        loop.call_later(0.002, os.write, theirs.fileno(), b"x")
        ended.append((await ours.recv(1)).decode())
        event = trio.Event()
        loop.call_later(0.002, event.set)
        await event.wait()
        with trio.CancelScope() as scope:
            loop.call_later(0.002, setattr, scope, "deadline", trio.current_time())
            await trio.sleep_forever()
        ours.close()
        theirs.close()
        return [*ended, "event", str(scope.cancelled_caught)]

    assert hosted(main) == ["deadline", "thread", "x", "event", "True"]


def test_tasks_take_turns_with_the_host(way: str) -> None:
    """A task that never waits leaves the host its turns."""

    async def main() -> int:
        loop = asyncio.get_running_loop()
        turns = 0

        def turn() -> None:
            nonlocal turns
            turns += 1
            loop.call_soon(turn)

        turn()
        while turns < 20:
            await trio.lowlevel.checkpoint()
        return turns

    assert hosted(main) >= 20


def test_an_error_reaches_the_host(way: str) -> None:
    async def main() -> None:
        await trio.sleep(0.001)
        raise ValueError("of the guest")

    with pytest.raises(ValueError, match="of the guest"):
        hosted(main)


def test_a_run_leaves_no_descriptor_and_no_timer(way: str) -> None:
    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep, 3600)
            await trio.sleep(0.001)
            nursery.cancel_scope.cancel()

    hosted(main)  # starts what the process keeps
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        hosted(main)
    assert len(os.listdir("/proc/self/fd")) <= before


def test_ticks_wait_only_where_there_is_nothing_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    guests: list[HostedGuest] = []

    class Noted(HostedGuest):
        def __init__(self, *parts: Any) -> None:
            super().__init__(*parts)
            guests.append(self)

    monkeypatch.setattr(guest, "HostedGuest", Noted)

    async def main() -> None:
        for _ in range(50):
            await trio.lowlevel.checkpoint()
        for _ in range(3):
            await trio.sleep(0.001)

    hosted(main)
    assert 50 < guests[0].ticks < 80
    assert 3 <= guests[0].waits < 12


def test_another_first_tick_is_refused() -> None:
    loop = uvloop.new_event_loop()
    with pytest.raises(TypeError, match="first tick"):
        HostedGuest(loop, print).begin(lambda: None)
    loop.close()
