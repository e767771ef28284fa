"""A GitHub on the loopback: HTTP/1.1 around the twin, so that the client is tested over a real wire."""

import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from functools import partial

import h11
import trio

from engine.github.conversation import GithubResponse
from storage.github.memory_api import MemoryGithub


class HangError(OSError):
    """A fault: no response at all, for as long as the client waits."""


class EndlessError(OSError):
    """A fault: a response whose body does not end."""


class TrickleError(OSError):
    """A fault: a response of which a byte comes every 50 ms, without an end."""


@asynccontextmanager
async def serving(github: MemoryGithub) -> AsyncIterator[str]:
    """Serve the twin on the loopback, set its base URL and yield it."""
    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        port = listener.socket.getsockname()[1]
        nursery.start_soon(trio.serve_listeners, partial(_serve, github), [listener])
        github.url = f"http://127.0.0.1:{port}"
        yield github.url
        nursery.cancel_scope.cancel()


@contextmanager
def serving_in_thread(token: str) -> Iterator[MemoryGithub]:
    """Serve a GitHub that knows one token, in a thread for the length of the block."""
    hub = MemoryGithub(lambda: datetime.now(UTC))
    hub.tokens = {token}
    up, scope = threading.Event(), trio.CancelScope()
    tokens: list[trio.lowlevel.TrioToken] = []

    async def serve() -> None:
        tokens.append(trio.lowlevel.current_trio_token())
        with scope:
            async with serving(hub):
                up.set()
                await trio.sleep_forever()

    thread = threading.Thread(target=lambda: trio.run(serve))
    thread.start()
    assert up.wait(10)
    try:
        yield hub
    finally:
        trio.from_thread.run_sync(scope.cancel, trio_token=tokens[0])
        thread.join(10)


async def _serve(github: MemoryGithub, stream: trio.SocketStream) -> None:
    connection = h11.Connection(h11.SERVER)
    try:
        while connection.our_state is h11.IDLE:
            if not await _exchange(github, stream, connection):
                return
            connection.start_next_cycle()
    except (trio.BrokenResourceError, trio.ClosedResourceError, h11.ProtocolError):
        pass
    finally:
        with trio.move_on_after(1, shield=True):
            await stream.aclose()


async def _exchange(
    github: MemoryGithub, stream: trio.SocketStream, connection: h11.Connection
) -> bool:
    """Answer one request. Returns whether the connection is kept."""
    request = await _request(stream, connection)
    if request is None:
        return False
    headers = {name.decode(): value.decode() for name, value in request.headers}
    try:
        answer = github.answer(request.target.decode(), headers)
    except HangError:
        await trio.sleep_forever()
    except (EndlessError, TrickleError) as fault:
        await _never_end(github, stream, connection, slow=isinstance(fault, TrickleError))
    except OSError:
        return False
    await _send(stream, connection, answer)
    return connection.our_state is h11.DONE and connection.their_state is h11.DONE


async def _request(stream: trio.SocketStream, connection: h11.Connection) -> h11.Request | None:
    request = None
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await stream.receive_some(65536))
        elif isinstance(event, h11.Request):
            request = event
        elif isinstance(event, h11.EndOfMessage):
            return request
        elif isinstance(event, h11.ConnectionClosed):
            return None


async def _send(
    stream: trio.SocketStream, connection: h11.Connection, answer: GithubResponse
) -> None:
    headers = list(answer.headers.items())
    if answer.status != 304:
        headers.append(("content-length", str(len(answer.body))))
    data = connection.send(h11.Response(status_code=answer.status, headers=headers, reason=b""))
    assert data is not None
    if answer.body:
        data += connection.send(h11.Data(data=answer.body)) or b""
    await stream.send_all(data + (connection.send(h11.EndOfMessage()) or b""))


async def _never_end(
    github: MemoryGithub, stream: trio.SocketStream, connection: h11.Connection, *, slow: bool
) -> None:
    headers = [*github.headers().items(), ("transfer-encoding", "chunked")]
    await stream.send_all(connection.send(h11.Response(status_code=200, headers=headers)) or b"")
    while True:
        await stream.send_all(connection.send(h11.Data(data=b" " * (1 if slow else 65536))) or b"")
        await trio.sleep(0.05 if slow else 0)
