"""The log of readiness: one line at the begin of a failure and one at its end, in virtual time."""

import logging
import re

import pytest
import trio
from trio.testing import MockClock

from actors.operations.readiness_log import LOOK_S, REPEAT_S, ReadinessLog
from engine.operations.health import Component

FULL = Component("edge-0/journal", False, "clicks are not recorded: full")
GOOD = Component("edge-0/journal", True)


class Process:
    """The components of a process, and what the log says of them."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self.components = [GOOD, Component("edge-0", True)]
        self._caplog = caplog

    def lines(self) -> list[tuple[str, str]]:
        """Return the level and text of the lines since the last call."""
        lines = [(record.levelname, record.getMessage()) for record in self._caplog.records]
        self._caplog.clear()
        return lines


@pytest.fixture
async def process(caplog: pytest.LogCaptureFixture, nursery: trio.Nursery) -> Process:
    caplog.set_level(logging.INFO)
    process = Process(caplog)
    nursery.start_soon(ReadinessLog(lambda: process.components).run)
    return process


async def test_a_failure_is_logged_at_its_begin_and_at_its_end(
    autojump_clock: MockClock, process: Process
) -> None:
    await trio.sleep(60)
    assert process.lines() == []
    process.components[0] = FULL
    await trio.sleep(30)
    assert process.lines() == [
        ("ERROR", "edge-0/journal is not ready: clicks are not recorded: full")
    ]
    process.components[0] = GOOD._replace(reason="17 clicks were not recorded")
    await trio.sleep(30)
    ((level, line),) = process.lines()
    assert level == "WARNING"
    assert re.fullmatch(
        r"edge-0/journal is ready again after (29|30)\.\d s: 17 clicks were not recorded", line
    )


async def test_a_failure_that_only_one_look_sees_is_not_logged(
    autojump_clock: MockClock, process: Process
) -> None:
    await trio.sleep(LOOK_S / 2)
    process.components[0] = FULL
    await trio.sleep(LOOK_S)
    process.components[0] = GOOD
    await trio.sleep(60)
    assert process.lines() == []


async def test_a_component_that_comes_and_goes_has_a_bounded_number_of_lines(
    autojump_clock: MockClock, process: Process
) -> None:
    for _ in range(100):
        process.components[0] = FULL
        await trio.sleep(2 * LOOK_S)
        process.components[0] = GOOD
        await trio.sleep(LOOK_S)
    assert 2 <= len(process.lines()) <= 2 * (100 * 3 * LOOK_S / REPEAT_S + 1)


async def test_a_component_that_is_gone_has_no_failure(
    autojump_clock: MockClock, process: Process
) -> None:
    process.components[0] = FULL
    await trio.sleep(5)
    del process.components[0]
    await trio.sleep(5)
    assert [level for level, _ in process.lines()] == ["ERROR", "WARNING"]
