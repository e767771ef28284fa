"""Process of the engine: its specification, and the parts that all roles share."""

import gc
import logging
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Final

import msgspec
import trio

from actors.operations import handover, runtime
from actors.operations.readiness_log import ReadinessLog
from actors.operations.runtime import Stop
from actors.operations.supervisor import ChildSpec, Supervisor, describe_error
from actors.operations.supervisor import group as group_of
from engine.common.errors import WaypostError
from engine.operations import logs
from engine.operations.actor_tree import ActorNode, crash_looping, walk
from engine.operations.health import Component
from engine.operations.metrics import Metric, ProcessMetrics, Sample
from engine.operations.settings import Settings
from engine.operations.system import ProcessStatus
from storage.embedded.folder import layout
from storage.embedded.launcher import die_with_parent
from storage.operations.status import note_failure, serve_status

VARIABLE: Final = "WAYPOST_PROCESS"
RESTARTS: Final = Metric(
    "waypost_restarts_total",
    "Restarts after a crash, by role, of an actor (by its supervisor) or a process (by the launcher)",
    ("role", "of"),
)
NOT_READY: Final = Metric(
    "waypost_components_not_ready", "1 for each component that is not ready", ("component",)
)


class ProcessSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Specification of a child process.

    The launcher passes it in the environment, because a URL may contain a password, and every user of the
    machine can read arguments.
    """

    role: str
    index: int
    data: str
    parent: int
    settings: dict[str, str | int | bool]
    sockets: tuple[int, ...] = ()
    processes: tuple[str, ...] = ()
    handover: int = -1  # descriptor, of this very process

    @property
    def name(self) -> str:
        return f"{self.role}-{self.index}"

    @property
    def folder(self) -> Path:
        return Path(self.data)

    @property
    def run_folder(self) -> Path:
        return layout(self.folder).run


def environment(spec: ProcessSpec) -> dict[str, str]:
    """Return the child's environment: the parent's without settings, and the specification."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("WAYPOST_") and name not in ("DATABASE_URL", "REDIS_URL")
    }
    return kept | {VARIABLE: msgspec.json.encode(spec).decode()}


def settings_for_child(settings: Settings) -> dict[str, str | int | bool]:
    return asdict(settings)


ProcessMain = Callable[[ProcessSpec, Settings, Stop], Awaitable[None]]


def main(roles: dict[str, ProcessMain]) -> int:
    """Run the process that the environment specifies. Returns its exit code."""
    spec = msgspec.structs.replace(
        msgspec.json.decode(os.environ.pop(VARIABLE), type=ProcessSpec),
        handover=int(os.environ.pop(handover.VARIABLE, "-1")),
    )
    die_with_parent(spec.parent, signal.SIGKILL)
    settings = Settings(**spec.settings)  # type: ignore[arg-type]  # the parent's own, checked
    logs.configure(settings.log_format, spec.name)

    async def run(stop: Stop) -> None:
        await roles[spec.role](spec, settings, stop)

    code = 0
    try:
        runtime.run(run)
    except* WaypostError as errors:
        for error in _leaves(errors):
            logging.getLogger("waypost").critical("%s", error, extra={"event": "gave_up"})
        note_failure(spec.run_folder, spec.name, describe_error(_leaves(errors)[0]))
        code = 1
    except* KeyboardInterrupt:
        code = 1
    except* Exception as errors:
        note_failure(spec.run_folder, spec.name, describe_error(_leaves(errors)[0]))
        raise
    return code


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    leaves: list[BaseException] = []
    for error in group.exceptions:
        leaves.extend(_leaves(error) if isinstance(error, BaseExceptionGroup) else [error])
    return leaves


def supervisor(name: str, children: list[ChildSpec]) -> Supervisor:
    return Supervisor(name, children, jitter=_jitter)


def group(name: str, *children: ChildSpec) -> ChildSpec:
    """Return a child that is a supervisor of `children`."""
    return group_of(name, list(children), jitter=_jitter)


def _jitter() -> float:
    return random.uniform(0.75, 1.25)  # noqa: S311


def status_child(
    spec: ProcessSpec,
    tree: Callable[[], Supervisor],
    components: Callable[[], list[Component]],
    samples: Callable[[], list[Sample]],
) -> ChildSpec:
    """Return the child that serves this process's status on its unix socket, and logs what is not ready.
    `tree` is the supervisor it belongs to."""
    started = time.monotonic()

    def process_node() -> ActorNode:
        return ActorNode(
            name=spec.name,
            kind="process",
            running=True,
            for_s=time.monotonic() - started,
            children=tree().nodes(),
        )

    def status() -> ProcessStatus:
        process = process_node()
        states = (*components(), *crash_looping(process))
        own = (RESTARTS.sample(_restarts_of(process), spec.role, "actor"), *not_ready(states))
        metrics = ProcessMetrics(spec.role, os.getpid(), (*samples(), *own))
        return ProcessStatus(spec.name, states, metrics, process)

    async def serve() -> None:
        # Crash loops are in the log already, each crash with its traceback.
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ReadinessLog(components).run)
            await serve_status(spec.run_folder, spec.name, status)

    return ChildSpec(name="status", start=serve)


def _restarts_of(process: ActorNode) -> int:
    return sum(node.restarts for _, node in walk(process))


def not_ready(components: Iterable[Component]) -> list[Sample]:
    """Return a sample of each component that is not ready, for alerts."""
    return [NOT_READY.sample(1, component.name) for component in components if not component.ready]


def restarts(processes: Iterable[ActorNode]) -> list[Sample]:
    """Return the launcher's restarts of its children, whose names are their role and number, by role."""
    counts: Counter[str] = Counter()
    for process in processes:
        counts[process.name.rpartition("-")[0] or process.name] += process.restarts
    return [RESTARTS.sample(count, role, "process") for role, count in sorted(counts.items())]


async def until_stopped(tree: Supervisor, stop: Stop, drain: Callable[[], Awaitable[None]]) -> None:
    """Run the tree until `stop` is requested, then drain, then stop the tree in reverse order."""
    # Modules and classes live as long as the process. Left to the garbage collector, each of its full
    # collections would look at some 200,000 objects and keep visitors waiting for some 100 ms.
    gc.collect()
    gc.freeze()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tree.run)
        await stop.wait()
        await drain()
        nursery.cancel_scope.cancel()


def notice(text: str) -> None:
    """Print a line for the operator at the terminal."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
