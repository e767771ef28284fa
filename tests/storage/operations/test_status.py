"""Statuses of processes over their sockets, and the failures of processes that ended."""

import os
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
import trio

from api.processes.process import ProcessSpec, environment
from engine.operations.actor_tree import ActorNode
from engine.operations.health import Component
from engine.operations.metrics import Metric, ProcessMetrics
from engine.operations.system import ProcessStatus
from storage.operations import status

PENDING = Metric("waypost_pending_clicks", "Clicks that wait")
DEEP = ActorNode(
    name="a",
    kind="process",
    running=True,
    children=(ActorNode(name="b", kind="actor", running=False),),
)
STATUS = ProcessStatus(
    "edge-0", (Component("edge-0", True),), ProcessMetrics("edge", 7, (PENDING.sample(1),)), DEEP
)


async def test_a_fetched_status_has_the_whole_tree(tmp_path: Path) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(status.serve_status, tmp_path, "edge-0", lambda: STATUS)
        with trio.fail_after(5):
            while not (statuses := await status.fetch_statuses(tmp_path)):  # noqa: ASYNC110  # a real socket
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    assert statuses == [STATUS]
    assert await status.fetch_statuses(tmp_path) == []


async def test_a_status_that_cannot_be_read_is_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sample = PENDING.sample(True)  # a number is expected
    wrong = msgspec.structs.replace(STATUS, metrics=ProcessMetrics("edge", 7, (sample,)))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(status.serve_status, tmp_path, "edge-0", lambda: wrong)
        with trio.fail_after(5):
            while not caplog.records:
                assert await status.fetch_statuses(tmp_path) == []
        nursery.cancel_scope.cancel()
    assert "status of edge-0: cannot be read" in caplog.records[0].message


def test_a_failure_is_reported_for_a_minute(tmp_path: Path) -> None:
    status.note_failure(tmp_path, "workers-0", "jobs/x crashed")
    assert status.recent_failures(tmp_path) == {"workers-0": "jobs/x crashed"}
    long_ago = time.time() - status.RECENT_S - 1
    os.utime(tmp_path / "workers-0.failure", (long_ago, long_ago))
    assert status.recent_failures(tmp_path) == {}
    status.note_failure(tmp_path, "workers-0", "again")
    status.forget_failures(tmp_path)
    assert status.recent_failures(tmp_path) == {}
    status.note_failure(tmp_path / "missing", "x", "no folder is no reason to fail")


@pytest.mark.slow
@pytest.mark.parametrize("error", ["WaypostError('gave up')", "KeyError('a bug')"])
def test_a_process_that_ends_by_an_error_writes_its_failure(tmp_path: Path, error: str) -> None:
    run = tmp_path / "run"
    run.mkdir()
    code = (
        "from engine.common.errors import WaypostError\n"
        "from api.processes.process import main\n"
        f"async def role(*_): raise {error}\n"
        "raise SystemExit(main({'workers': role}))"
    )
    spec = ProcessSpec(role="workers", index=0, data=str(tmp_path), parent=os.getpid(), settings={})
    process = subprocess.run(
        [sys.executable, "-c", code], env=environment(spec), cwd=Path(__file__).parents[3],
        capture_output=True, timeout=30, check=False,
    )  # fmt: skip
    assert process.returncode == 1
    (reason,) = status.recent_failures(spec.run_folder).values()
    assert reason in ("WaypostError: gave up", "KeyError: 'a bug'")


def test_a_status_is_read_back_as_it_was_written() -> None:
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(STATUS), type=ProcessStatus) == STATUS
