"""Client of a Redis Cluster: several seeds, bounded waits, and nodes that die.

Guarantees beyond redis-py's client:
- the seeds stay known, beside the nodes that the cluster names: any node that answers tells the topology;
- a command ends within `limit_s`, however many nodes are tried, and waits for a free connection where
  redis-py would raise;
- the keys of a command are known here, so no node is asked for them (redis-py asks one node with each XREAD,
  for ever the same one, dead or not);
- a node that is silent (its host is gone, its process is stopped) is noticed by commands that were given up.

Every command has its keys in one hash slot: a stream's key has its journal's id in braces, and the limiter
sends one charge in each call. PUBLISH goes to any master, because plain pub/sub reaches all nodes.
"""

import asyncio
import random
from typing import Any, Final
from urllib.parse import urlsplit

from redis import exceptions
from redis.asyncio.client import PubSub
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.connection import SSLConnection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff

SCHEMES: Final = {"redis+cluster": "redis", "rediss+cluster": "rediss"}
_PORT: Final = 6379
_RETRIES: Final = 3
# redis-py replaces connections that are marked for reconnection while others are in use.
_SPARE_CONNECTIONS: Final = 8
_GIVEN_UP_S: Final = 0.05
_REFRESH_EVERY_S: Final = 1.0
_ALL_KEYS: Final = frozenset({"DEL", "UNLINK", "EXISTS", "TOUCH", "MGET"})


def is_cluster_url(url: str) -> bool:
    return urlsplit(url).scheme in SCHEMES


def parse_cluster_url(url: str) -> tuple[list[tuple[str, int]], dict[str, Any]]:
    """Return the seeds as (host, port), and the arguments of a client: credentials and options.

    The form is redis+cluster://USER:PASSWORD@HOST:PORT,HOST:PORT?OPTION=VALUE. The port is 6379 if left out.
    """
    parts = urlsplit(url)
    credentials, at, hosts = parts.netloc.rpartition("@")
    seeds = []
    for host in hosts.split(","):
        seed = urlsplit(f"//{host}")
        seeds.append((seed.hostname or "", seed.port or _PORT))
    first = parts._replace(scheme=SCHEMES[parts.scheme], netloc=f"{credentials}{at}localhost")
    arguments: dict[str, Any] = dict(parse_url(first.geturl()))
    if arguments.pop("connection_class", None) is SSLConnection:
        arguments["ssl"] = True
    for name in ("host", "port", "db"):
        arguments.pop(name, None)
    return seeds, arguments


class ClusterClient(RedisCluster):
    """RedisCluster with the guarantees above; `size` connections per node."""

    def __init__(self, url: str, *, size: int, limit_s: float, **arguments: Any) -> None:
        self._seeds, from_url = parse_cluster_url(url)
        super().__init__(
            startup_nodes=[ClusterNode(host, port) for host, port in self._seeds],
            max_connections=size + _SPARE_CONNECTIONS,
            retry=Retry(ExponentialBackoff(cap=0.2, base=0.02), _RETRIES),
            **from_url,
            **arguments,
        )
        self.commands_parser = KeyPositions()  # type: ignore[assignment]  # the same methods
        self.command_flags["PUBLISH"] = RedisCluster.RANDOM
        self.command_flags["BGREWRITEAOF"] = RedisCluster.ALL_NODES
        self.command_flags["DBSIZE"] = RedisCluster.PRIMARIES
        self._limit_s = limit_s
        self._free = asyncio.Semaphore(size)
        self._subscribed = ""  # name of the node of the last subscription
        self._refreshing: asyncio.Task[None] | None = None
        self._refreshed = -_REFRESH_EVERY_S

    async def initialize(self, *arguments: Any, **options: Any) -> "RedisCluster":
        """Read the topology if needed, from any seed or known node."""
        self._know_seeds()
        return await super().initialize(*arguments, **options)

    async def subscriber(self) -> PubSub:
        """Return a subscriber with a connection of its own, to another node than the one before."""
        self._know_seeds()
        last = self._subscribed
        async with asyncio.timeout(self._limit_s):
            await self.nodes_manager.initialize(last_failed_node_name=last)
        nodes = self.get_nodes()
        node = random.choice([n for n in nodes if n.name != last] or nodes)  # noqa: S311
        self._subscribed = node.name
        return self.pubsub(node)

    def _know_seeds(self) -> None:
        nodes = self.nodes_manager.startup_nodes
        for host, port in self._seeds:
            seed = ClusterNode(host, port, **self.connection_kwargs)
            nodes.setdefault(seed.name, seed)

    async def execute_command(self, *arguments: Any, **options: Any) -> Any:
        started = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(self._limit_s), self._free:
                return await super().execute_command(*arguments, **options)
        except (asyncio.CancelledError, TimeoutError):
            self._refresh_soon(started)
            raise

    def _refresh_soon(self, started: float) -> None:
        """Read the topology in the background after a command that was given up without an answer.

        The caller's time limit may be shorter than that of the socket, which would never be reached then.
        """
        now = asyncio.get_running_loop().time()
        waited = now - started >= _GIVEN_UP_S and now - self._refreshed >= _REFRESH_EVERY_S
        if waited and (self._refreshing is None or self._refreshing.done()):
            self._refreshed = now
            self._refreshing = asyncio.create_task(self._refresh())

    async def _refresh(self) -> None:
        try:
            async with asyncio.timeout(self._limit_s):
                await self.nodes_manager.initialize()
        except (exceptions.RedisError, exceptions.RedisClusterException, OSError):
            pass  # The next command reads it.

    async def aclose(self) -> None:
        if self._refreshing is not None and self._refreshing is not asyncio.current_task():
            self._refreshing.cancel()
            await asyncio.gather(self._refreshing, return_exceptions=True)
        await super().aclose()
        # redis-py closes nothing where only a subscriber has read the topology.
        await self.nodes_manager.aclose()
        await self.nodes_manager.aclose("startup_nodes")


class KeyPositions:
    """Positions of keys in the engine's commands, in place of redis-py's parser, which asks a node for them."""

    async def initialize(self, node: ClusterNode | None = None) -> None:
        """Do nothing: the positions are known."""

    async def get_keys(self, command: str, *arguments: Any) -> tuple[Any, ...]:
        """Return the keys of a command, all that it has."""
        if command == "XREAD":
            streams = arguments[arguments.index(b"STREAMS") + 1 :]
            return tuple(streams[: len(streams) // 2])
        return tuple(arguments) if command in _ALL_KEYS else tuple(arguments[:1])
