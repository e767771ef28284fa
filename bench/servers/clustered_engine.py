"""An engine on two machines, as operators run it: a Redis Cluster, a Postgres with its standby, a pooler.

machines `one`, `two`    waypost serve --roles edge,workers, each with its own data folder
machine `console`        waypost serve --roles api
Redis                    three masters and three replicas; two of the nodes are the seeds
Postgres                 a primary and a synchronous standby, behind PgBouncer in transaction mode
"""

import contextlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Self

import trio

from bench.kit.errors import BenchError
from bench.load.client import Client
from bench.load.crashable_engine import CrashableEngine
from bench.load.engine_process import STOP_LIMIT_S, _environment
from bench.load.processes import BackgroundProcess, free_ports
from bench.servers import pgbouncer
from bench.servers.pgbouncer import PgBouncer
from bench.servers.postgres_pair import PostgresPair
from bench.servers.redis_cluster import RedisCluster
from engine.operations.system import ProcessStatus
from storage.embedded.folder import layout
from storage.operations import status

SEEDS: Final = (0, 1)
_READY: Final = re.compile(r"^ready ", re.MULTILINE)
MACHINES: Final[Mapping[str, str]] = {
    "one": "edge,workers",
    "two": "edge,workers",
    "console": "api",
}


def missing_programs() -> list[str]:
    """Return the programs that are not installed here."""
    found = {"redis-server": shutil.which("redis-server"), "pgbouncer": pgbouncer.program()}
    return [name for name, path in found.items() if not path]


class Machine:
    """Machine of the engine: a data folder with its launcher."""

    def __init__(self, name: str, folder: Path, roles: str) -> None:
        self.name = name
        self.folder = folder
        self.roles = roles
        self.visitors_port, self.console_port = free_ports(2)
        self.starts = 0
        self.child: BackgroundProcess | None = None
        self.is_killed = False


class ClusteredEngine(CrashableEngine):
    """CrashableEngine on two machines. `cold_redis` starts it while all of Redis is down."""

    def __init__(
        self, settings: Mapping[str, str], *, module: tuple[str, ...], cold_redis: bool = False
    ) -> None:
        if missing := missing_programs():
            raise BenchError(
                f"not installed: {', '.join(missing)}; apt-get install redis-server pgbouncer"
            )
        super().__init__(2, settings, module=module)
        self._cold_redis = cold_redis
        self._stack = ExitStack()
        self.machines = [
            Machine(name, self.folder / name, roles) for name, roles in MACHINES.items()
        ]

    def __enter__(self) -> Self:
        try:
            self.redis = self._stack.enter_context(
                RedisCluster(program=shutil.which("redis-server") or "")
            )
            self.postgres = self._stack.enter_context(PostgresPair())
            self.pooler = self._stack.enter_context(PgBouncer(self.database_url))
        except BaseException:
            self.close()
            raise
        super().__enter__()
        return self

    @property
    def database_url(self) -> str:
        """Return the URL of the present primary itself, for audits."""
        return self.postgres.primary.url

    @database_url.setter
    def database_url(self, url: str) -> None:
        """Ignore the URL of an embedded server."""

    def close(self) -> None:
        try:
            for machine in self.machines:
                if machine.child is not None:
                    machine.child.stop(STOP_LIMIT_S)
        finally:
            self._stack.close()
            super().close()

    def _start(self) -> None:
        self._settings |= {"DATABASE_URL": self.pooler.url, "REDIS_URL": self.redis.url(*SEEDS)}
        if self._cold_redis:
            for node in self.redis.nodes:
                node.kill()
        self._migrate()
        for machine in self.machines:
            self._start_machine(machine)
        for machine in self.machines:
            assert machine.child is not None
            self._wait_ready(machine.child, _READY)
        if self._cold_redis:
            for node in self.redis.nodes:
                node.start()
            self.redis.wait_healthy()
        *edges, console = self.machines
        self.visitors_url = f"http://127.0.0.1:{edges[0].visitors_port}"
        self.more_ports = [machine.visitors_port for machine in edges[1:]]
        self.console_url = f"http://127.0.0.1:{console.console_port}"
        self.api_key = self._api_key()
        self._console = Client(self.console_url, self.api_key)

    def _migrate(self) -> None:
        command = [sys.executable, "-P", "-m", "api.command", "migrate"]
        done = subprocess.run(
            command,
            env=_environment(self._settings),
            capture_output=True,
            text=True,
            cwd=self.folder,
        )
        if done.returncode:
            raise BenchError(f"waypost migrate failed: {done.stderr.strip()[-300:]}")

    def _start_machine(self, machine: Machine) -> None:
        machine.is_killed = False
        self._run_machine(machine)

    def _run_machine(self, machine: Machine) -> None:
        machine.starts += 1
        machine.child = self._run(
            f"log-{machine.name}-{machine.starts}", machine.folder, self._settings,
            "serve", "--roles", machine.roles, "--visitors-port", str(machine.visitors_port),
            "--console-port", str(machine.console_port),
        )  # fmt: skip

    def _api_key(self) -> str:
        for file in (*self.folder.glob("*/owner.json"), *self.folder.glob("owner.json")):
            return str(json.loads(file.read_text())["api_key"])
        raise BenchError("no owner.json was written")

    # ---- processes ------------------------------------------------------------------------------

    def launcher_pids(self) -> list[int]:
        return [machine.child.pid for machine in self.machines if machine.child is not None]

    def kill_machine(self, machine: Machine) -> int:
        """Kill the launcher of a machine with SIGKILL; its processes end with it. Returns its pid."""
        if machine.child is None:
            return 0
        machine.is_killed = True
        machine.child.process.kill()
        machine.child.process.wait()
        return machine.child.pid

    def restart_ended(self) -> None:
        """Restart machines whose launcher has ended. Counts those that ended by themselves in `gave_up`."""
        for machine in self.machines:
            if machine.child is not None and not machine.child.running():
                self.gave_up += not machine.is_killed
                self._start_machine(machine)

    def stale_leases(self) -> dict[int, int]:
        """Return the refused commits by pid of each workers process."""
        refused = {}
        for process in self._statuses():
            for sample in process.metrics.samples:
                if sample.name == "waypost_stale_leases_total":
                    refused[process.metrics.pid] = int(sample.value)
        return refused

    # ---- metrics --------------------------------------------------------------------------------

    def metrics(self) -> dict[str, float]:
        """Return the metrics of all machines by name, summed over processes and labels."""
        sums: dict[str, float] = {}
        for process in self._statuses():
            for sample in process.metrics.samples:
                sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
        return sums

    def pids(self, role: str) -> list[int]:
        return [process.metrics.pid for process in self._statuses() if process.metrics.role == role]

    def _statuses(self) -> list[ProcessStatus]:
        statuses = []
        for machine in self.machines:
            run_folder = layout(machine.folder).run
            with contextlib.suppress(OSError):
                statuses += trio.run(status.fetch_statuses, run_folder)
        return statuses
