"""An engine that is meant to be killed: same ports and folder after each start, pids by role from /proc."""

import contextlib
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Self

import trio

from bench.kit.errors import BenchError
from bench.load.client import Client
from bench.load.engine_process import STOP_LIMIT_S, EngineProcess, _environment
from bench.load.processes import BackgroundProcess, descendants
from storage.embedded import EmbeddedServers
from storage.embedded.folder import layout
from storage.embedded.process import residents
from storage.operations import status

GONE_LIMIT_S = 30.0
SETTLE_LIMIT_S = 180.0
CALM_READINGS = 3
POLL_S = 0.05


class SettleResult(NamedTuple):
    """How long it took until all was committed, and the figures then."""

    seconds: float
    metrics: dict[str, float]


class CrashableEngine(EngineProcess):
    """`module` is what Python runs with `-m`, with its first arguments: a broken variant, for one.
    `spare_workers` starts a second process of workers, on the same servers with a parent of its own."""

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
        """All that the engine wrote, for who looks for the cause of something."""
        files = [*self.folder.glob("log-*"), *self.folder.glob("spare-*")]
        return "\n".join(file.read_text(errors="replace") for file in sorted(files))

    # ---- processes ------------------------------------------------------------------------------

    @property
    def parent(self) -> int:
        """The process of `waypost up`."""
        return self._child.pid if self._child is not None else 0

    def living(self, role: str) -> list[int]:
        """The processes of a role, also when the console is dead: what their parent told each stands
        in its environment. `workers` has the spare ones too."""
        found = []
        parents = [self.parent] + ([self._spare.pid] if self._spare is not None else [])
        for pid in (pid for parent in parents for pid in descendants(parent)):
            with contextlib.suppress(OSError, ValueError):
                for line in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                    name, _, value = line.partition(b"=")
                    if name == b"WAYPOST_PROCESS" and json.loads(value)["role"] == role:
                        found.append(pid)
        return found

    def postgres_processes(self) -> list[int]:
        """The postmaster and its children."""
        return residents(self.layout.postgres, "postgres")

    def postmaster(self) -> list[int]:
        with contextlib.suppress(OSError, ValueError, IndexError):
            pid = int((self.layout.postgres / "postmaster.pid").read_text().split()[0])
            return [pid] if pid in self.postgres_processes() else []
        return []

    def valkey(self) -> list[int]:
        return residents(self.layout.valkey, "valkey-server")

    def stale_leases(self) -> dict[int, int]:
        """By process of workers, those of the spare ones too: commits refused to it."""
        found = {}
        for folder in (self.layout.run, layout(self.folder / "spare").run):
            for one in trio.run(status.fetch_statuses, folder):
                for sample in one.metrics.samples:
                    if sample.name == "waypost_stale_leases_total":
                        found[one.metrics.pid] = int(sample.value)
        return found

    # ---- crashing -------------------------------------------------------------------------------

    def crash(self) -> None:
        """kill -9 of the parent; all of its processes end with it. Returns when those have ended that
        hold the ports."""
        if self._child is None:
            return
        below = [pid for role in ("edge", "api", "workers") for pid in self.living(role)]
        self._child.process.kill()
        self._child.process.wait()
        if self._spare is not None:
            below = [pid for pid in below if pid not in descendants(self._spare.pid)]
        until = time.monotonic() + GONE_LIMIT_S
        while any(map(alive, below)):
            if time.monotonic() > until:
                raise BenchError("processes of the engine outlived their parent")
            time.sleep(0.01)

    def stop(self) -> None:
        """As SIGTERM ends it: drained. Raises BenchError when it takes too long."""
        if self._child is not None and not self._child.stop(STOP_LIMIT_S):
            raise BenchError(f"the engine did not stop within {STOP_LIMIT_S:g} s")

    def start_again(self) -> None:
        """Start on the same folder and ports. Raises BenchError when it is not ready in time."""
        self._start()

    def watch(self) -> None:
        """Start again what gave up by itself, and count it."""
        self._start_spare()
        if self._child is not None and not self._child.running():
            self.gave_up += 1
            self._start()

    # ---- calm -----------------------------------------------------------------------------------

    def settle(self, limit_s: float = SETTLE_LIMIT_S) -> SettleResult:
        """Wait until nothing is pending, with every process there to say so, several times in a row."""
        started = time.monotonic()
        calm = 0
        reason = ""
        while calm < CALM_READINGS:
            if time.monotonic() > started + limit_s:
                raise BenchError(f"clicks were not committed within {limit_s:g} s: {reason}")
            time.sleep(POLL_S)
            self.watch()
            try:
                metrics, edges = self.metrics(), len(self.pids("edge"))
            except BenchError as error:
                calm, reason = 0, str(error)
                continue
            pending = metrics.get("waypost_journal_pending_clicks", -1)
            calm = calm + 1 if pending == 0 and edges == self.edges else 0
            reason = f"{pending:g} are pending, {edges} edges answer"
        return SettleResult(time.monotonic() - started, metrics)


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def send(pids: list[int], number: signal.Signals) -> int:
    """Signal all; how many there were to signal."""
    reached = 0
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
            reached += 1
    return reached


def free_ports(count: int) -> list[int]:
    """Ports that nobody uses now."""
    with contextlib.ExitStack() as stack:
        taken = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in taken:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in taken]
