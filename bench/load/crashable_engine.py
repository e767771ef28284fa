"""Engine that tests may kill: it keeps ports and folder over restarts, and finds pids by role in /proc."""

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Self

import trio

from bench.kit.errors import BenchError
from bench.load.client import Client
from bench.load.engine_process import STOP_LIMIT_S, EngineProcess, _environment
from bench.load.processes import BackgroundProcess, descendants, free_ports
from storage.embedded import EmbeddedServers
from storage.embedded.folder import layout
from storage.embedded.process import residents
from storage.operations import status

GONE_LIMIT_S = 30.0
SETTLE_LIMIT_S = 180.0
CALM_READINGS = 3
POLL_S = 0.05


class SettleResult(NamedTuple):
    """Seconds until all clicks were committed, and the metrics at that time."""

    seconds: float
    metrics: dict[str, float]


class CrashableEngine(EngineProcess):
    """An engine in its own processes, with methods to kill and restart them.

    `module` is run with `python -m`, and may be a sabotaged engine with arguments. `spare_workers` starts a
    second workers process on the same servers, with its own launcher.
    """

    def __init__(
        self,
        edges: int = 1,
        settings: Mapping[str, str] | None = None,
        *,
        module: tuple[str, ...] = ("api.command",),
        spare_workers: bool = False,
    ) -> None:
        super().__init__(edges, settings)
        self._module = module
        self._spare_workers = spare_workers
        self._spare: BackgroundProcess | None = None
        self._ports = free_ports(2)
        self.more_ports: list[int] = []  # visitors' ports of further machines
        self.starts = 0
        self.gave_up = 0
        servers = EmbeddedServers(self.data)
        self.database_url, self.redis_url = servers.database_url, servers.redis_url
        self.layout = layout(self.data)

    def __enter__(self) -> Self:
        super().__enter__()
        return self

    def _start(self) -> None:
        self.starts += 1
        visitors, console = self._ports
        self._child = child = self._run(
            f"log-{self.starts}", self.data, self._settings,
            "up", "--visitors-port", str(visitors), "--console-port", str(console),
            "--edges", str(self.edges),
        )  # fmt: skip
        self.visitors_url, self.console_url = self._urls(child)
        self.api_key = json.loads((self.data / "owner.json").read_text())["api_key"]
        if self._console is None:
            self._console = Client(self.console_url, self.api_key)
        self._start_spare()

    def _start_spare(self) -> None:
        if self._spare_workers and (self._spare is None or not self._spare.running()):
            urls = {"DATABASE_URL": self.database_url, "REDIS_URL": self.redis_url}
            self._spare = self._run(
                f"spare-{self.starts}", self.folder / "spare", {**self._settings, **urls},
                "serve", "--roles", "workers",
            )  # fmt: skip

    def _run(
        self, log: str, data: Path, settings: Mapping[str, str], *arguments: str
    ) -> BackgroundProcess:
        command = [sys.executable, "-P", "-m", *self._module, *arguments, "--data", str(data)]
        return BackgroundProcess(command, self.folder / log, _environment(settings))

    def close(self) -> None:
        try:
            if self._spare is not None:
                self._spare.stop(STOP_LIMIT_S)
        finally:
            super().close()

    def logs(self) -> str:
        """Return all output of the engine, to diagnose a failure."""
        files = [*self.folder.glob("log-*"), *self.folder.glob("spare-*")]
        return "\n".join(file.read_text(errors="replace") for file in sorted(files))

    # ---- processes ------------------------------------------------------------------------------

    @property
    def launcher_pid(self) -> int:
        """Return the pid of `waypost up`, or 0 before the first start."""
        return self._child.pid if self._child is not None else 0

    def launcher_pids(self) -> list[int]:
        """Return the pids of all launchers, the spare one included."""
        return [self.launcher_pid] + ([self._spare.pid] if self._spare is not None else [])

    def role_pids(self, role: str) -> list[int]:
        """Return the pids of a role, with the spare ones for `workers`.

        They are found by the WAYPOST_PROCESS variable of each process, so the console may be dead.
        """
        pids = []
        for pid in (pid for parent in self.launcher_pids() for pid in descendants(parent)):
            with contextlib.suppress(OSError, ValueError):
                for line in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                    name, _, value = line.partition(b"=")
                    if name == b"WAYPOST_PROCESS" and json.loads(value)["role"] == role:
                        pids.append(pid)
        return pids

    def postgres_processes(self) -> list[int]:
        """Return the pids of the postmaster and its children."""
        return residents(self.layout.postgres, "postgres")

    def postmaster(self) -> list[int]:
        with contextlib.suppress(OSError, ValueError, IndexError):
            pid = int((self.layout.postgres / "postmaster.pid").read_text().split()[0])
            return [pid] if pid in self.postgres_processes() else []
        return []

    def valkey(self) -> list[int]:
        return residents(self.layout.valkey, "valkey-server")

    def stale_leases(self) -> dict[int, int]:
        """Return the refused commits by pid of each workers process, spare ones included."""
        refused = {}
        for folder in (self.layout.run, layout(self.folder / "spare").run):
            for process in trio.run(status.fetch_statuses, folder):
                for sample in process.metrics.samples:
                    if sample.name == "waypost_stale_leases_total":
                        refused[process.metrics.pid] = int(sample.value)
        return refused

    # ---- crashing -------------------------------------------------------------------------------

    def crash(self) -> None:
        """Kill the launcher with SIGKILL; its processes end with it. Returns when none holds a port."""
        if self._child is None:
            return
        children = [pid for role in ("edge", "api", "workers") for pid in self.role_pids(role)]
        self._child.process.kill()
        self._child.process.wait()
        if self._spare is not None:
            children = [pid for pid in children if pid not in descendants(self._spare.pid)]
        until = time.monotonic() + GONE_LIMIT_S
        while any(map(alive, children)):
            if time.monotonic() > until:
                raise BenchError("processes of the engine outlived their parent")
            time.sleep(0.01)

    def stop(self) -> None:
        """Stop the engine with SIGTERM, so that it drains. Raises BenchError after STOP_LIMIT_S."""
        if self._child is not None and not self._child.stop(STOP_LIMIT_S):
            raise BenchError(f"the engine did not stop within {STOP_LIMIT_S:g} s")

    def restart(self) -> None:
        """Start on the same folder and ports. Raises BenchError when it is not ready in time."""
        self._start()

    def restart_ended(self) -> None:
        """Restart launchers that ended by themselves. Counts those of `waypost up` in `gave_up`."""
        self._start_spare()
        if self._child is not None and not self._child.running():
            self.gave_up += 1
            self._start()

    # ---- settling -------------------------------------------------------------------------------

    def settle(self, limit_s: float = SETTLE_LIMIT_S) -> SettleResult:
        """Wait until no click is pending at CALM_READINGS readings in a row, with all edges answering.

        Raises BenchError after `limit_s`.
        """
        started = time.monotonic()
        calm_readings = 0
        reason = ""
        while calm_readings < CALM_READINGS:
            if time.monotonic() > started + limit_s:
                raise BenchError(f"clicks were not committed within {limit_s:g} s: {reason}")
            time.sleep(POLL_S)
            self.restart_ended()
            try:
                metrics, edges = self.metrics(), len(self.pids("edge"))
            except BenchError as error:
                calm_readings, reason = 0, str(error)
                continue
            pending = metrics.get("waypost_journal_pending_clicks", -1)
            calm_readings = calm_readings + 1 if pending == 0 and edges == self.edges else 0
            reason = f"{pending:g} are pending, {edges} edges answer"
        return SettleResult(time.monotonic() - started, metrics)


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def send(pids: list[int], number: signal.Signals) -> int:
    """Signal each process that exists. Returns how many there were."""
    signalled = 0
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
            signalled += 1
    return signalled
