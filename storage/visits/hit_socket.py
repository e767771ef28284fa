"""Hits of servers on their way from the console to an edge of the same machine, over a unix socket.

    request    u32 length | msgpack: a list of ServerHit
    response   u32 length | msgpack: a list of HitAnswer, or a text that says why nothing was recorded

A connection is for one request. A profile's hits go to one edge, which remembers their ids; while that edge
restarts they are refused, so that none is recorded by two.
"""

import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from struct import Struct
from typing import Final

import msgspec
import trio

from engine.common.errors import UnavailableError
from engine.visits.hit import HitAnswer, ServerHit

_log = logging.getLogger("waypost.hits")

SUFFIX: Final = ".hits"
MAX_BYTES: Final = 3 * 1024 * 1024  # of 100 hits whose texts have their largest sizes
MAX_CONNECTIONS: Final = 64
LIMIT_S: Final = 8.0
_LENGTH: Final = Struct("<I")
_NO_EDGE: Final = "no edge of this machine takes hits now; send them again"

Handler = Callable[[Sequence[ServerHit]], Awaitable[list[HitAnswer]]]


async def serve_hits(
    folder: Path,
    name: str,
    handle: Handler,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Answer requests until cancelled. An UnavailableError of `handle` is told to the console."""
    path = folder / f"{name}{SUFFIX}"
    path.unlink(missing_ok=True)
    listener = trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_STREAM)
    await listener.bind(str(path))
    path.chmod(0o600)
    listener.listen(MAX_CONNECTIONS)
    task_status.started()
    free = trio.CapacityLimiter(MAX_CONNECTIONS)

    async def answer(stream: trio.SocketStream) -> None:
        with trio.move_on_after(LIMIT_S), contextlib.suppress(trio.BrokenResourceError):
            async with stream, free:
                await stream.send_all(_framed(await _answered(await _received(stream), handle)))

    await trio.serve_listeners(answer, [trio.SocketListener(listener)])


async def _answered(data: bytes | None, handle: Handler) -> list[HitAnswer] | str:
    try:
        if data is None:
            return "the request was cut off"
        return await handle(msgspec.msgpack.decode(data, type=list[ServerHit]))
    except msgspec.MsgspecError as error:
        _log.error("hits from the console cannot be read: %s", error, extra={"event": "bad_hits"})
        return "the console and the edge are of different versions"
    except UnavailableError as error:
        return str(error)


class EdgeHitSender:
    """`HitSender` to the edges of this machine. `edges` are their names."""

    def __init__(self, folder: Path, edges: Sequence[str]) -> None:
        self._folder = folder
        self._edges = sorted(edges)

    async def send(self, profile_id: int, hits: Sequence[ServerHit]) -> list[HitAnswer]:
        if not self._edges:
            raise UnavailableError("this machine has no edge, which is what takes hits")
        edge = self._edges[profile_id % len(self._edges)]
        answer: list[HitAnswer] | str = _NO_EDGE
        with trio.move_on_after(LIMIT_S), contextlib.suppress(OSError, trio.BrokenResourceError):
            stream = await trio.open_unix_socket(str(self._folder / f"{edge}{SUFFIX}"))
            async with stream:
                await stream.send_all(_framed(hits))
                data = await _received(stream)
                if data is not None:
                    answer = msgspec.msgpack.decode(data, type=list[HitAnswer] | str)
        if isinstance(answer, str):
            raise UnavailableError(answer)
        return answer


def _framed(message: object) -> bytes:
    data = msgspec.msgpack.encode(message)
    return _LENGTH.pack(len(data)) + data


async def _received(stream: trio.SocketStream) -> bytes | None:
    """Return one message; None if it is cut off or has more than MAX_BYTES."""
    data = bytearray()
    async for chunk in stream:
        data += chunk
        if len(data) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(data)
            if length > MAX_BYTES:
                return None
            if len(data) >= _LENGTH.size + length:
                return bytes(data[_LENGTH.size : _LENGTH.size + length])
    return None
