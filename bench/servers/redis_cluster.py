"""A real Redis Cluster on loopback, whose nodes may be killed, paused and restarted.

The nodes are processes of Debian's redis-server, or of the Valkey that the engine embeds. Each has an
append-only file, so that a restarted node has its data.
"""

import contextlib
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Self

import redis

from bench.kit.errors import BenchError
from bench.load.processes import BackgroundProcess, free_ports
from storage.embedded import wheel

SLOTS: Final = 16_384
FORM_LIMIT_S: Final = 30.0
STOP_LIMIT_S: Final = 10.0
POLL_S: Final = 0.02


class ClusterNode:
    """Node of the cluster: its process, port and client. `number` is its place in the cluster's list."""

    def __init__(self, number: int, folder: Path, command: list[str], port: int) -> None:
        self.number = number
        self.port = port
        self._folder = folder
        self._command = command
        self._process: BackgroundProcess | None = None
        self.starts = 0
        folder.mkdir()

    def start(self) -> None:
        self.starts += 1
        self._process = BackgroundProcess(self._command, self._folder / f"log-{self.starts}")

    def running(self) -> bool:
        return self._process is not None and self._process.running()

    def send(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.running():
            self._process.process.send_signal(number)

    def kill(self) -> None:
        """End the process with SIGKILL."""
        self.send(signal.SIGKILL)
        if self._process is not None:
            self._process.process.wait(STOP_LIMIT_S)

    def client(self) -> Any:
        return redis.Redis(port=self.port, socket_timeout=1.0, socket_connect_timeout=1.0)

    def cut_off_replica(self) -> None:
        """Refuse the replica's replication from now on, so that it falls behind. A restart ends that."""
        with self.client() as client:
            client.execute_command("ACL", "SETUSER", "default", "-psync", "-sync")
            client.execute_command("CLIENT", "KILL", "TYPE", "replica")

    def answers(self) -> bool:
        with contextlib.suppress(redis.RedisError), self.client() as client:
            return bool(client.ping())
        return False

    def info(self, *command: str) -> dict[str, str]:
        """Return the fields of CLUSTER INFO or INFO; empty if the node does not answer."""
        with contextlib.suppress(redis.RedisError), self.client() as client:
            reply = client.execute_command(*command)
            fields = reply if isinstance(reply, dict) else {}
            return {str(name): str(value) for name, value in fields.items()}
        return {}


class RedisCluster:
    """`masters` nodes with one replica each if `replicas`, as a context manager.

    `program` is redis-server or valkey-server; the embedded Valkey's if empty. `settings` are further ones of
    each node. Raises BenchError.
    """

    def __init__(
        self,
        masters: int = 3,
        *,
        replicas: bool = True,
        program: str = "",
        timeout_ms: int = 1000,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="waypost-cluster-"))
        self.masters = masters
        count = masters * 2 if replicas else masters
        ports = free_ports(2 * count)
        port_pairs = zip(ports[:count], ports[count:], strict=True)
        program = program or wheel.valkey_program()
        self.nodes = [
            ClusterNode(
                number,
                self.folder / str(number),
                _command(
                    program,
                    self.folder / str(number),
                    port,
                    {
                        "cluster-port": str(bus_port),
                        "cluster-node-timeout": str(timeout_ms),
                        **(settings or {}),
                    },
                ),
                port,
            )
            for number, (port, bus_port) in enumerate(port_pairs)
        ]

    def __enter__(self) -> Self:
        try:
            for node in self.nodes:
                node.start()
            self._wait(lambda: all(node.answers() for node in self.nodes), "no node answers")
            self._form()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for node in self.nodes:
            node.send(signal.SIGCONT)
            node.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, *numbers: int) -> str:
        """Return the URL with these nodes as seeds, or with all."""
        nodes = [self.nodes[number] for number in numbers] or self.nodes
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in nodes)

    # ---- state ----------------------------------------------------------------------------------

    def master_of(self, slot: int) -> ClusterNode:
        """Return the node that answers for a slot, by what any node says. Raises BenchError."""
        by_port = {node.port: node for node in self.nodes}
        for node in self.nodes:
            with contextlib.suppress(redis.RedisError), node.client() as client:
                for low, high, master, *_ in client.execute_command("CLUSTER SLOTS"):
                    if low <= slot <= high:
                        return by_port[int(master[1])]
        raise BenchError(f"no node of the cluster knows slot {slot}")

    def living_masters(self) -> list[ClusterNode]:
        return [
            node
            for node in self.nodes
            if node.running() and node.info("INFO", "replication").get("role") == "master"
        ]

    def healthy(self) -> bool:
        """Return whether every node runs, knows all others and all slots, and every replica has its data."""
        return all(map(self._is_healthy, self.nodes))

    def wait_healthy(self, limit_s: float = FORM_LIMIT_S) -> None:
        """Wait until the cluster is healthy(). Raises BenchError after `limit_s`."""
        self._wait(self.healthy, "the cluster is not healthy", limit_s)

    def streams(self) -> Iterator[tuple[Any, bytes]]:
        """Yield (client of the master, key) for each stream of clicks. May raise redis.RedisError."""
        for node in self.living_masters():
            with node.client() as client:
                for key in list(client.scan_iter("waypost:*:clicks", count=1000)):
                    yield client, key

    def _is_healthy(self, node: ClusterNode) -> bool:
        state = node.info("CLUSTER INFO")
        if state.get("cluster_state") != "ok" or state.get("cluster_known_nodes") != str(
            len(self.nodes)
        ):
            return False
        replication = node.info("INFO", "replication")
        return replication.get("role") == "master" or replication.get("master_link_status") == "up"

    # ---- forming --------------------------------------------------------------------------------

    def _form(self) -> None:
        ids: list[str] = []
        for node in self.nodes:
            with node.client() as client:
                ids.append(client.execute_command("CLUSTER MYID").decode())
                client.execute_command("CLUSTER SET-CONFIG-EPOCH", node.number + 1)
                if node.number < self.masters:
                    low = SLOTS * node.number // self.masters
                    high = SLOTS * (node.number + 1) // self.masters - 1
                    client.execute_command("CLUSTER ADDSLOTSRANGE", low, high)
        with self.nodes[0].client() as first:
            for node in self.nodes[1:]:
                first.execute_command("CLUSTER MEET", "127.0.0.1", node.port, _bus_port(node))
        self._wait(lambda: all(map(self._knows_all, self.nodes)), "the nodes did not meet")
        for node in self.nodes[self.masters :]:
            with node.client() as client:
                client.execute_command("CLUSTER REPLICATE", ids[node.number - self.masters])
        self.wait_healthy()

    def _knows_all(self, node: ClusterNode) -> bool:
        state = node.info("CLUSTER INFO")
        known = state.get("cluster_known_nodes") == str(len(self.nodes))
        return known and state.get("cluster_state") == "ok"

    def _wait(
        self, condition: Callable[[], bool], failure: str, limit_s: float = FORM_LIMIT_S
    ) -> None:
        until = time.monotonic() + limit_s
        while not condition():
            if time.monotonic() > until:
                raise BenchError(f"{failure} within {limit_s:g} s")
            time.sleep(POLL_S)


def _command(program: str, folder: Path, port: int, settings: Mapping[str, str]) -> list[str]:
    all_settings = {
        "port": str(port),
        "bind": "127.0.0.1",
        "dir": str(folder),
        "cluster-enabled": "yes",
        "save": "",
        "appendonly": "yes",
        "appendfsync": "no",
        "repl-diskless-sync-delay": "0",
        "maxmemory-policy": "noeviction",
        **settings,
    }
    words = ((f"--{name}", *value.split(" ")) for name, value in all_settings.items())
    return [program, *(word for pair in words for word in pair)]


def _bus_port(node: ClusterNode) -> int:
    with node.client() as client:
        return int(client.config_get("cluster-port")["cluster-port"])
