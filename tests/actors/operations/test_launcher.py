"""The launcher restarts children that are killed, and gives up on children that crash by themselves."""

import os
import signal
import sys

import pytest
import trio

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
