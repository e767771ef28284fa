"""Statuses of the engine's processes, served over unix sockets in the run folder of the data folder.

They are fetched, not published: metrics such as the clicks not yet committed must be current, also while Redis
or Postgres is away.
"""

import contextlib
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
import trio

from engine.operations.system import ProcessStatus

_log = logging.getLogger("waypost.status")

SUFFIX: Final = ".status"
FAILURE: Final = ".failure"
RECENT_S: Final = 60.0
MAX_STATUS_BYTES: Final = 1024 * 1024
LIMIT_S: Final = 1.0


async def serve_status(folder: Path, name: str, status: Callable[[], ProcessStatus]) -> None:
    """Send the status to each client that connects, until cancelled."""
    path = folder / f"{name}{SUFFIX}"
    path.unlink(missing_ok=True)
    listener = trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_STREAM)
    await listener.bind(str(path))
    path.chmod(0o600)
    listener.listen(16)

    async def answer(stream: trio.SocketStream) -> None:
        with trio.move_on_after(LIMIT_S), contextlib.suppress(trio.BrokenResourceError):
            async with stream:
                await stream.send_all(msgspec.msgpack.encode(status()))

    await trio.serve_listeners(answer, [trio.SocketListener(listener)])


async def fetch_statuses(folder: Path) -> list[ProcessStatus]:
    """Return the statuses of all processes that respond within LIMIT_S, sorted by name."""
    statuses: list[ProcessStatus] = []
    try:
        paths = sorted(path for path in os.listdir(folder) if path.endswith(SUFFIX))
    except OSError:
        return []
    async with trio.open_nursery() as nursery:
        for path in paths:
            nursery.start_soon(_fetch, folder / path, statuses)
    return sorted(statuses, key=lambda status: status.name)


async def _fetch(path: Path, statuses: list[ProcessStatus]) -> None:
    data = bytearray()
    with trio.move_on_after(LIMIT_S), contextlib.suppress(OSError, trio.BrokenResourceError):
        stream = await trio.open_unix_socket(str(path))
        async with stream:
            async for chunk in stream:
                data += chunk
                if len(data) > MAX_STATUS_BYTES:
                    _log.warning(
                        "status of %s: more than %d bytes, ignored", path.stem, MAX_STATUS_BYTES
                    )
                    return
        try:
            statuses.append(msgspec.msgpack.decode(bytes(data), type=ProcessStatus))
        except msgspec.MsgspecError as error:
            # A process that ends before it responds sends nothing.
            if data:
                _log.warning("status of %s: cannot be read, ignored: %s", path.stem, error)


def note_failure(folder: Path, name: str, reason: str) -> None:
    """Write why a process ended into the run folder, because the ended process cannot report it."""
    with contextlib.suppress(OSError):
        (folder / f"{name}{FAILURE}").write_text(reason)


def recent_failures(folder: Path) -> dict[str, str]:
    """Return why processes ended within the last RECENT_S, by name."""
    reasons: dict[str, str] = {}
    for path in folder.glob(f"*{FAILURE}"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime < RECENT_S:
                reasons[path.name.removesuffix(FAILURE)] = path.read_text()
    return reasons


def forget_failures(folder: Path) -> None:
    """Delete the failures of earlier starts."""
    for path in folder.glob(f"*{FAILURE}"):
        path.unlink(missing_ok=True)
