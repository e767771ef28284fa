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

    `module` is run with `python -m`, and may be a sabotaged engine with arguments. One of the `workers`
    processes is of `waypost up`; the others are on the same servers, each with its own launcher and folder.
    """

    def __init__(
        self,
        edges: int = 1,
        settings: Mapping[str, str] | None = None,
        *,
        module: tuple[str, ...] = ("api.command",),
        workers: int = 1,
    ) -> None:
        super().__init__(edges, settings)
        self._module = module
        self._spares: list[BackgroundProcess | None] = [None] * (workers - 1)
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
        self._start_spares()

    def _start_spares(self) -> None:
        urls = {"DATABASE_URL": self.database_url, "REDIS_URL": self.redis_url}
        for number, spare in enumerate(self._spares):
            if spare is None or not spare.running():
                self._spares[number] = self._run(
                    f"log-spare-{number}-{self.starts}", self._spare_folder(number),
                    {**self._settings, **urls}, "serve", "--roles", "workers",
                )  # fmt: skip

    def _spare_folder(self, number: int) -> Path:
        return self.folder / f"spare-{number}"

    def _running_spares(self) -> list[BackgroundProcess]:
        return [spare for spare in self._spares if spare is not None]

    def _run(
        self, log: str, data: Path, settings: Mapping[str, str], *arguments: str
    ) -> BackgroundProcess:
        command = [sys.executable, "-P", "-m", *self._module, *arguments, "--data", str(data)]
        return BackgroundProcess(command, self.folder / log, _environment(settings))

    def close(self) -> None:
        try:
            for spare in self._running_spares():
                spare.stop(STOP_LIMIT_S)
        finally:
            super().close()

    def logs(self) -> str:
        """Return all output of the engine, to diagnose a failure."""
        files = sorted(self.folder.glob("log-*"))
        return "\n".join(file.read_text(errors="replace") for file in files)

    # ---- processes ------------------------------------------------------------------------------

    @property
    def launcher_pid(self) -> int:
        """Return the pid of `waypost up`, or 0 before the first start."""
        return self._child.pid if self._child is not None else 0

    def launcher_pids(self) -> list[int]:
        """Return the pids of all launchers, spare ones included."""
        return [self.launcher_pid, *(spare.pid for spare in self._running_spares())]

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
        spares = (layout(self._spare_folder(number)).run for number in range(len(self._spares)))
        for folder in (self.layout.run, *spares):
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
        for spare in self._running_spares():
            children = [pid for pid in children if pid not in descendants(spare.pid)]
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
        self._start_spares()
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
