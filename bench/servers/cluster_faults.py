"""Faults of an engine on two machines (clustered_engine.py): its processes, Redis nodes, the pooler.

Before the next fault of a Redis node the cluster has to be healthy again: with two of three masters away nobody
may elect a third.
"""

import contextlib
import random
import signal
import time
from collections.abc import Callable
from typing import Final

import redis

from bench.load.crashable_engine import send
from bench.load.faults import Fault
from bench.servers.clustered_engine import SEEDS, ClusteredEngine
from bench.servers.redis_cluster import ClusterNode

# Kind of fault: relative frequency.
CLUSTER_WEIGHTS: Final = {
    "kill_edge": 4,
    "kill_workers": 4,
    "kill_api": 1,
    "kill_machine": 2,
    "pause_workers": 2,
    "kill_master": 3,
    "kill_ahead_master": 3,  # its replica is behind by BEHIND_S
    "pause_master": 2,
    "kill_replica": 1,
    "seed_away": 3,
    "seeds_away": 1,
    "kill_pooler": 4,
    "kill_primary": 1,
    "trim_streams": 2,
    "delete_streams": 2,
}
HEALTHY_LIMIT_S: Final = 20.0
TARGET_LIMIT_S: Final = 5.0
PAUSE_S: Final = (1.5, 3.0)  # longer than a lease, so that workers wake up as stale owners
NODE_AWAY_S: Final = (3.0, 8.0)  # longer than an election takes
BEHIND_S: Final = 1.0
POOLER_AWAY_S: Final = (0.1, 1.0)


class ClusterInjector:
    """Injector of faults. It remembers what is away, to bring it back."""

    def __init__(self, engine: ClusteredEngine, dice: random.Random) -> None:
        self._engine = engine
        self._dice = dice
        self._started = time.monotonic()
        self._away: list[tuple[float, Callable[[], None]]] = []
        self.faults: list[Fault] = []

    def inject(self, kind: str) -> Fault | None:
        """Inject one fault. Returns None when there was no target."""
        action, _, target = kind.partition("_")
        if target in ("edge", "workers", "api"):
            detail = self._hit_role(action, target)
        elif target.endswith(("master", "replica")) or action in ("seed", "seeds"):
            detail = self._hit_nodes(kind)
        elif target == "streams":
            detail = self._damage_streams(action)
        else:
            detail = getattr(self, f"_{kind}")()
        if not detail:
            return None
        fault = Fault(time.monotonic() - self._started, kind, detail)
        self.faults.append(fault)
        return fault

    def resume(self, *, all_of_them: bool = False) -> None:
        """Bring back what has been away for long enough, or everything."""
        now = time.monotonic()
        for entry in [entry for entry in self._away if all_of_them or entry[0] <= now]:
            self._away.remove(entry)
            entry[1]()

    def _later(self, bounds_s: tuple[float, float], bring_back: Callable[[], None]) -> str:
        seconds = self._dice.uniform(*bounds_s)
        self._away.append((time.monotonic() + seconds, bring_back))
        return f"for {seconds:.1f} s"

    # ---- the engine's processes -----------------------------------------------------------------

    def _hit_role(self, action: str, role: str) -> str:
        until = time.monotonic() + TARGET_LIMIT_S
        while not (pids := self._engine.role_pids(role)) and time.monotonic() < until:
            self.resume()
            self._engine.restart_ended()
            time.sleep(0.02)
        if not pids:
            return ""
        pid = self._dice.choice(pids)
        if action == "kill":
            return f"{role} {pid}" if send([pid], signal.SIGKILL) else ""
        if not send([pid], signal.SIGSTOP):
            return ""
        return f"{role} {pid} {self._later(PAUSE_S, lambda: _continue(pid))}"

    def _kill_machine(self) -> str:
        machine = self._dice.choice(self._engine.machines)
        return f"machine {machine.name}, launcher {self._engine.kill_machine(machine)}"

    def _kill_pooler(self) -> str:
        pooler = self._engine.pooler
        pid = pooler.pid
        pooler.kill()
        return f"pgbouncer {pid} {self._later(POOLER_AWAY_S, pooler.start)}"

    def _kill_primary(self) -> str:
        """Kill the primary and let the standby take over; there is one standby in each run."""
        self.resume(all_of_them=True)
        if not self._engine.postgres.fail_over():
            return ""
        self._engine.pooler.lead_to(self._engine.database_url)
        return "the standby has taken over"

    # ---- Redis ----------------------------------------------------------------------------------

    def _hit_nodes(self, kind: str) -> str:
        nodes = self._choose(kind) if self._wait_healthy() else []
        if kind == "kill_ahead_master" and nodes:
            nodes[0].cut_off_replica()
            time.sleep(BEHIND_S)
        for node in nodes:
            if kind == "pause_master":
                node.send(signal.SIGSTOP)
            else:
                node.kill()
        if not nodes:
            return ""

        def bring_back() -> None:
            for node in nodes:
                node.send(signal.SIGCONT)
                if not node.running():
                    node.start()

        numbers = ", ".join(str(node.number) for node in nodes)
        return f"node {numbers} {self._later(NODE_AWAY_S, bring_back)}"

    def _choose(self, kind: str) -> list[ClusterNode]:
        cluster = self._engine.redis
        seeds = [cluster.nodes[number] for number in SEEDS]
        if kind == "seed_away":
            return [self._dice.choice(seeds)]
        if kind == "seeds_away":
            return seeds
        masters = cluster.living_masters()
        replicas = [node for node in cluster.nodes if node not in masters]
        return [self._dice.choice(masters if kind.endswith("master") else replicas)]

    def _wait_healthy(self) -> bool:
        until = time.monotonic() + HEALTHY_LIMIT_S
        while not self._engine.redis.healthy():
            if time.monotonic() > until:
                return False
            self.resume()
            self._engine.restart_ended()
            time.sleep(0.05)
        return True

    def _damage_streams(self, action: str) -> str:
        damaged = 0
        with contextlib.suppress(redis.RedisError):
            for client, key in self._engine.redis.streams():
                if action == "trim":
                    client.xtrim(key, maxlen=0, approximate=False)
                else:
                    client.delete(key)
                damaged += 1
        return f"{damaged} streams"


def _continue(pid: int) -> None:
    send([pid], signal.SIGCONT)
