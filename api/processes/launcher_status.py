"""Status of the launcher, and the port for monitoring that it serves for the processes of its machine."""

import socket
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import trio

from actors.operations.launcher import Launcher
from actors.operations.readiness_log import ReadinessLog
from api.operations.server import OperationsServer
from api.processes.engine_status import EngineStatus
from api.processes.process import RESTARTS, not_ready, restarts
from api.processes.server_watch import ServerWatch
from engine.operations.actor_tree import ActorNode
from engine.operations.metrics import ProcessMetrics, Sample
from engine.operations.system import LAUNCHER, ProcessStatus
from storage.operations.status import serve_status


class LauncherStatus:
    """Status of the launcher: its children's restarts, and the conditions of the servers."""

    def __init__(self, launcher: Launcher, watch: ServerWatch, run_folder: Path) -> None:
        self._launcher = launcher
        self._watch = watch
        self._run_folder = run_folder
        self._started = time.monotonic()
        processes = [process.command.name for process in launcher.processes]
        status = EngineStatus(run_folder, processes, {})
        self._server = OperationsServer(status.health, status.metrics)
        self.server_restarts: Counter[str] = Counter()

    async def run(self, listeners: Sequence[socket.socket]) -> None:
        """Watch the servers, log what is not ready, and serve the status and the port, until cancelled."""
        streams = [trio.SocketListener(trio.socket.from_stdlib_socket(s)) for s in listeners]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch.run)
            nursery.start_soon(ReadinessLog(self._watch.components).run)
            nursery.start_soon(serve_status, self._run_folder, LAUNCHER, self.current)
            if streams:
                await trio.serve_listeners(self._server.serve, streams)

    def current(self) -> ProcessStatus:
        for_s = time.monotonic() - self._started
        children = self._launcher.nodes()
        tree = ActorNode(
            name=LAUNCHER, kind="process", running=True, for_s=for_s, children=children
        )
        components = tuple(self._watch.components())
        samples = (*restarts(children), *self._samples(), *not_ready(components))
        return ProcessStatus(LAUNCHER, components, ProcessMetrics(LAUNCHER, 0, samples), tree)

    def _samples(self) -> list[Sample]:
        return [
            *(RESTARTS.sample(n, name, "process") for name, n in self.server_restarts.items()),
            *self._server.samples(),
        ]
