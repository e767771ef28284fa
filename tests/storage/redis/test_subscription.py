"""The one subscription of a process: shared by its listeners, kept while there is one, renewed when lost."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
import trio

from storage.redis.client import RedisServer
from storage.redis.subscription import DropOldestQueue
from tests.kit.hosted import hosted_run

pytestmark = [pytest.mark.trio(run=hosted_run), pytest.mark.slow]


@pytest.fixture
async def server(redis_url: str) -> AsyncIterator[RedisServer]:
    server = await RedisServer.open(redis_url, size=2)
    yield server
    await server.close()


class Listening:
    """Listeners of one server, and how often they were told of a lost connection."""

    def __init__(self, server: RedisServer) -> None:
        self.server = server
        self.lost: dict[str, int] = {}

    def to(self, channel: str) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        def lose() -> None:
            self.lost[channel] = self.lost.get(channel, 0) + 1

        def put(queue: DropOldestQueue[bytes], message: bytes) -> None:
            queue.put(message)

        return self.server.subscription.listening(channel, DropOldestQueue(10), put, lose)

    async def publish(self, channel: str, message: str) -> int:
        return int(await self._execute("PUBLISH", channel, message))

    async def connections(self) -> int:
        return len((await self._execute("CLIENT", "LIST", "TYPE", "pubsub")).splitlines())

    async def kill_connections(self) -> None:
        await self._execute("CLIENT", "KILL", "TYPE", "pubsub")

    async def _execute(self, *command: str) -> Any:
        return await self.server.run(self.server.commands.execute_command, *command)

    async def arrives(self, channel: str, messages: AsyncIterator[bytes], text: str) -> None:
        """Publish until the message arrives, as a listener may be connecting."""
        with trio.fail_after(5):
            while True:
                await self.publish(channel, text)
                with trio.move_on_after(0.05):
                    while await anext(messages) != text.encode():
                        pass
                    return


@pytest.fixture
def listening(server: RedisServer) -> Listening:
    return Listening(server)


async def test_listeners_of_several_channels_share_one_connection(listening: Listening) -> None:
    async with listening.to("one") as one, listening.to("two") as two, listening.to("one") as again:
        await listening.arrives("one", one, "1")
        await listening.arrives("two", two, "2")
        assert await anext(again) == b"1"
        assert await listening.connections() == 1
    assert listening.lost == {}


async def test_a_channel_that_nobody_listens_to_any_more_is_left(listening: Listening) -> None:
    async with listening.to("one") as one:
        async with listening.to("two") as two:
            await listening.arrives("two", two, "2")
        assert await listening.publish("two", "3") == 0
        await listening.arrives("one", one, "1")
    with trio.fail_after(5):
        while await listening.connections():  # noqa: ASYNC110  # the server announces nothing
            await trio.sleep(0.01)


async def test_the_next_listener_keeps_the_connection_when_the_first_leaves(
    listening: Listening, nursery: trio.Nursery
) -> None:
    first_listens, first_leaves = trio.Event(), trio.Event()

    async def first() -> None:
        async with listening.to("one"):
            first_listens.set()
            await first_leaves.wait()

    nursery.start_soon(first)
    await first_listens.wait()
    async with listening.to("two") as two:
        await listening.arrives("two", two, "1")
        first_leaves.set()
        await listening.arrives("two", two, "2")
        with trio.fail_after(5):
            while listening.lost != {"two": 1}:
                await listening.arrives("two", two, "3")
        assert await listening.connections() == 1


async def test_all_channels_are_subscribed_to_again_after_a_lost_connection(
    listening: Listening,
) -> None:
    async with listening.to("one") as one, listening.to("two") as two:
        await listening.kill_connections()
        await listening.arrives("one", one, "1")
        await listening.arrives("two", two, "2")
        assert await listening.connections() == 1
