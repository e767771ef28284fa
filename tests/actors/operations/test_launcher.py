"""The launcher restarts children that are killed, and gives up on children that crash by themselves."""

import os
import signal
import sys
from dataclasses import replace

import pytest
import trio

from actors.operations.handover import VARIABLE
from actors.operations.launcher import MAX_FAST_CRASHES, Launcher, ProcessCommand
from engine.common.errors import WaypostError

pytestmark = pytest.mark.slow


def child(code: str) -> ProcessCommand:
    return ProcessCommand(
        name="edge-0", arguments=[sys.executable, "-S", "-c", code], environment=dict(os.environ)
    )


async def test_a_child_killed_often_is_restarted_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.operations.launcher.SHORT_LIFE_S", 0.01)
    gave_up: list[WaypostError] = []
    launcher = Launcher([child("import time; time.sleep(60)")], gave_up.append)
    process = launcher.processes[0]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(launcher.run)
        for restarts in range(MAX_FAST_CRASHES + 3):
            while not process.pid or process.restarts < restarts:  # noqa: ASYNC110
                await trio.sleep(0.005)
            os.kill(process.pid, signal.SIGKILL)
            while process.restarts == restarts:  # noqa: ASYNC110
                await trio.sleep(0.005)
        await launcher.stop("edge", 5)
    assert gave_up == []


async def test_a_child_that_crashes_at_once_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.operations.launcher.backoff_s", lambda *_, **__: 0.0)
    gave_up: list[WaypostError] = []
    with trio.fail_after(30):
        await Launcher([child("raise SystemExit(3)")], gave_up.append).run()
    (error,) = gave_up
    assert "exit code 3" in str(error)


_HANDS_OVER = f"""
import os, signal, socket
ours = socket.socket(fileno=int(os.environ["{VARIABLE}"]))
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
ours.send(b"S")
signal.sigwait([signal.SIGTERM])
ours.send(b"L")
ours.recv(1)
"""


async def test_a_child_that_is_asked_to_stop_serves_until_its_successor_does() -> None:
    command = replace(child(_HANDS_OVER), hands_over=True)
    launcher = Launcher([command], lambda _: None)
    process = launcher.processes[0]
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(launcher.run)
            while not process.serves.is_set():  # noqa: ASYNC110
                await trio.sleep(0.005)
            first = process.pid
            os.kill(first, signal.SIGTERM)
            while process.restarts == 0 or not process.pid:  # noqa: ASYNC110
                await trio.sleep(0.001)
            assert not process.serves.is_set()
            os.kill(first, 0)  # it is there until its successor serves
            await process.serves.wait()
            while process.leaving:  # noqa: ASYNC110
                await trio.sleep(0.005)
            with pytest.raises(ProcessLookupError):
                os.kill(first, 0)
            assert process.pid not in (0, first)
            await launcher.stop("edge", 10)
    assert (process.restarts, process.last_exit) == (1, "asked to stop")


async def test_a_launcher_that_stops_starts_no_successor() -> None:
    launcher = Launcher([replace(child(_HANDS_OVER), hands_over=True)], lambda _: None)
    process = launcher.processes[0]
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(launcher.run)
            while not process.serves.is_set():  # noqa: ASYNC110
                await trio.sleep(0.005)
            await launcher.stop("edge", 10)
    assert (process.restarts, process.leaving, process.pid) == (0, 0, 0)
