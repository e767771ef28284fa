"""Clients of Redis or Valkey: connections, time limits, and the meaning of errors.

Guarantees:
- every wait is bounded: for a connection, for a command, and for a free connection of the pool;
- commands that block on purpose (XREAD BLOCK, subscriptions) have their own connections, with a time limit
  longer than they may block: they neither starve other commands nor time out by themselves;
- while Redis is away, calls raise UnavailableError; nothing has to be reopened when it comes back.
  A command may then have run or not, and after a lost connection the client sends it once more: send only
  commands that may run twice.

The clients use protocol RESP2, because stream replies have another shape in RESP3.
"""

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any, Final, ParamSpec, TypeAlias, TypeVar

from redis import exceptions
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.client import PubSub
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff

from engine.common.errors import UnavailableError
from storage.bridge import in_asyncio

P = ParamSpec("P")
T = TypeVar("T")
RedisClient: TypeAlias = Redis | RedisCluster

MAX_BLOCK_MS: Final = 30_000
_CONNECT_S: Final = 2.0
_COMMAND_S: Final = 5.0
_POOL_WAIT_S: Final = 5.0
_HEALTH_CHECK_S: Final = 15
_RETRIES: Final = 2
_MAX_BLOCKING: Final = 1_024
_CLUSTER: Final = {"redis+cluster://": "redis://", "rediss+cluster://": "rediss://"}

_UNAVAILABLE: Final = (
    OSError,
    TimeoutError,
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    exceptions.ReadOnlyError,
    exceptions.OutOfMemoryError,
    exceptions.TryAgainError,
    exceptions.ClusterError,
    exceptions.ClusterDownError,
    # An operator may revoke rights and grant them again; that must not end a process.
    exceptions.NoPermissionError,
    exceptions.RedisClusterException,
)
# Error codes of states of a server that pass.
_STATES: Final = (
    "LOADING", "MISCONF", "NOREPLICAS", "READONLY", "OOM", "MASTERDOWN", "BUSY", "UNKILLABLE",
)  # fmt: skip


class RedisServer:
    """Clients of one server or cluster. Open it on the trio side; it connects when needed."""

    def __init__(self, commands: RedisClient, blocking: RedisClient, subscriptions: Redis) -> None:
        self.commands = commands
        self.blocking = blocking
        self._subscriptions = subscriptions

    @classmethod
    async def open(cls, url: str, *, size: int) -> "RedisServer":
        """Return clients with at most `size` connections (per node of a cluster) beside the blocking ones.

        `url` is redis://, rediss://, unix://, redis+cluster:// or rediss+cluster://.
        """

        async def create() -> "RedisServer":
            for prefix, plain in _CLUSTER.items():
                if url.startswith(prefix):
                    return _cluster(plain + url.removeprefix(prefix), size)
            blocking = _client(url, _MAX_BLOCKING, MAX_BLOCK_MS / 1000 + _COMMAND_S)
            return cls(_client(url, size, _COMMAND_S), blocking, blocking)

        return await in_asyncio(create)

    def pubsub(self) -> PubSub:
        """Return a subscriber with its own connection. In a cluster, every node gets every message."""
        return self._subscriptions.pubsub()

    async def run(
        self, function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run `function` on the host loop. Raises UnavailableError as described above."""
        try:
            return await in_asyncio(function, *args, **kwargs)
        except (exceptions.RedisError, OSError) as error:
            if is_unavailable(error):
                reason = str(error) or type(error).__name__
                raise UnavailableError(f"Redis does not answer: {reason}") from error
            raise

    async def ping(self) -> None:
        """Ping the server. Raises UnavailableError if Redis does not answer."""
        await self.run(self.commands.execute_command, "PING")

    async def close(self) -> None:
        async def close() -> None:
            for client in dict.fromkeys((self.commands, self.blocking, self._subscriptions)):
                await client.aclose()
                if isinstance(client, Redis):
                    await client.connection_pool.disconnect()

        await in_asyncio(close)


def is_unavailable(error: Exception) -> bool:
    """Return whether the command may succeed later. False means a wrong use of Redis."""
    return isinstance(error, _UNAVAILABLE) or str(error).startswith(_STATES)


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


def _cluster(url: str, size: int) -> RedisServer:
    def client(connections: int, timeout_s: float) -> RedisCluster:
        return RedisCluster.from_url(
            url, max_connections=connections, socket_keepalive=True, **_limits(timeout_s)
        )

    longest_s = MAX_BLOCK_MS / 1000 + _COMMAND_S
    return RedisServer(
        commands=client(size, _COMMAND_S),
        blocking=client(_MAX_BLOCKING, longest_s),
        subscriptions=_client(url, _MAX_BLOCKING, longest_s),
    )


def _limits(timeout_s: float) -> dict[str, Any]:
    return {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": _CONNECT_S,
        "health_check_interval": _HEALTH_CHECK_S,
        "protocol": 2,
        "client_name": "waypost",
    }
