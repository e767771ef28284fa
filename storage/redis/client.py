"""Clients of Redis or Valkey: connections, time limits, and the meaning of errors.

Guarantees:
- every wait is bounded: for a connection, for a command, and for a free connection of the pool;
- commands that block on purpose (XREAD BLOCK, subscriptions) have their own connections, with a time limit
  longer than they may block: they neither starve other commands nor time out by themselves;
- while Redis is away (errors.py says which errors mean that), calls raise UnavailableError; nothing has to be
  reopened when it comes back. A command may then have run or not, and after a lost connection the client
  sends it once more: send only commands that may run twice.

The clients use protocol RESP2, because stream replies have another shape in RESP3.
"""

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any, Final, ParamSpec, TypeAlias, TypeVar

from redis import exceptions
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff

from storage.bridge import in_asyncio
from storage.redis.cluster import ClusterClient, is_cluster_url
from storage.redis.errors import is_unavailable, unavailable
from storage.redis.subscription import Subscription

P = ParamSpec("P")
T = TypeVar("T")
RedisClient: TypeAlias = Redis | ClusterClient

MAX_BLOCK_MS: Final = 30_000
_CONNECT_S: Final = 2.0
COMMAND_S: Final = 5.0
_POOL_WAIT_S: Final = 5.0
_HEALTH_CHECK_S: Final = 15
_RETRIES: Final = 2
_MAX_BLOCKING: Final = 1_024


class RedisServer:
    """Clients of one server or cluster. Open it on the trio side; it connects when needed."""

    def __init__(self, commands: RedisClient, blocking: RedisClient) -> None:
        self.commands = commands
        self.blocking = blocking
        self.subscription = Subscription(self)

    @classmethod
    async def open(cls, url: str, *, size: int) -> "RedisServer":
        """Return clients that send at most `size` commands at once, beside the blocking ones.

        `url` starts with redis://, rediss:// or unix://, or with redis+cluster:// or rediss+cluster:// and
        names one or several seeds.
        """

        async def create() -> "RedisServer":
            client = _cluster if is_cluster_url(url) else _client
            longest_s = MAX_BLOCK_MS / 1000 + COMMAND_S
            return cls(client(url, size, COMMAND_S), client(url, _MAX_BLOCKING, longest_s))

        return await in_asyncio(create)

    @property
    def clustered(self) -> bool:
        """Return whether keys are spread over nodes: then each command has its keys in one hash slot."""
        return isinstance(self.commands, ClusterClient)

    async def subscriber(self) -> PubSub:
        """Return a subscriber with its own connection: of a cluster to another node each time.

        Every node of a cluster gets every message, as the channels are plain ones. Messages are few and small;
        shards of channels would make a subscription follow its slot. Raises UnavailableError.
        """

        async def subscribe() -> PubSub:
            if isinstance(self.commands, ClusterClient):
                # Its time limit finds out sooner that a node is silent.
                return await self.commands.subscriber()
            return self.blocking.pubsub()

        return await self.run(subscribe)

    async def run(
        self, function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run `function` on the host loop. Raises UnavailableError as described above."""
        try:
            return await in_asyncio(function, *args, **kwargs)
        except Exception as error:
            if is_unavailable(error):
                raise unavailable(error) from error
            raise

    async def ping(self) -> None:
        """Ping the server. Raises UnavailableError if Redis does not answer."""
        await self.run(self.commands.execute_command, "PING")

    async def close(self) -> None:
        async def close() -> None:
            for client in (self.commands, self.blocking):
                await client.aclose()
                if isinstance(client, Redis):
                    await client.connection_pool.disconnect()

        await in_asyncio(close)


async def run_script(
    client: RedisClient, script: "Script", key: str, *args: str | bytes | int
) -> Any:
    """Run a script on one key, and send its text only to a server that has not cached it."""
    try:
        return await client.evalsha(script.sha1, 1, key, *args)
    except exceptions.NoScriptError:
        return await client.eval(script.text, 1, key, *args)


class Script:
    """A Lua script, with the SHA-1 under which servers cache it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha1 = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def _retry() -> Retry:
    return Retry(ExponentialBackoff(cap=0.2, base=0.02), _RETRIES)


def _client(url: str, size: int, timeout_s: float) -> Redis:
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=size,
        timeout=_POOL_WAIT_S,
        retry=_retry(),
        **_limits(timeout_s),
        **({} if url.startswith("unix://") else {"socket_keepalive": True}),
    )
    return Redis.from_pool(pool)


def _cluster(url: str, size: int, timeout_s: float) -> ClusterClient:
    return ClusterClient(
        url,
        size=size,
        limit_s=timeout_s + COMMAND_S,
        socket_keepalive=True,
        **_limits(timeout_s),
    )


def _limits(timeout_s: float) -> dict[str, Any]:
    return {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": _CONNECT_S,
        "health_check_interval": _HEALTH_CHECK_S,
        "protocol": 2,
        "client_name": "waypost",
    }
