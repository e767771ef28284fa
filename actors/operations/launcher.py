"""The launcher: starts the engine's processes as children of one parent and restarts them when they die.

It starts children from the main thread, never from a worker thread: a child ends with the thread that started
it (PR_SET_PDEATHSIG), so that a kill -9 of the parent leaves no orphan process behind.
"""

import logging
import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import trio

from engine.common.errors import WaypostError
from engine.common.retry import backoff_s
from engine.operations.actor_tree import ActorNode

logger = logging.getLogger("waypost.launcher")

STABLE_S: Final = 20.0
MAX_FAST_CRASHES: Final = 12
SHORT_LIFE_S: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessCommand:
    """The command of one child. `pass_fds` stay open in the child under the same numbers."""

    name: str
    arguments: Sequence[str]
    environment: dict[str, str]
    pass_fds: tuple[int, ...] = ()


@dataclass(slots=True)
class ChildProcess:
    command: ProcessCommand
    popen: "subprocess.Popen[bytes] | None" = None
    restarts: int = 0
    last_exit: str = ""
    stopping: bool = False
    ended: trio.Event = field(default_factory=trio.Event)

    @property
    def pid(self) -> int:
        return self.popen.pid if self.popen is not None else 0

    def should_run(self) -> bool:
        """Return whether the child must run: stop() may be called while it waits for its restart."""
        return not self.stopping


class Launcher:
    """Actor that keeps the children running. Calls `give_up` once if restarts of a child do not help."""

    def __init__(
        self, commands: list[ProcessCommand], give_up: Callable[[WaypostError], None]
    ) -> None:
        self.processes = [ChildProcess(command) for command in commands]
        self._give_up = give_up

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            for process in self.processes:
                nursery.start_soon(self._keep_running, process, name=process.command.name)

    async def _keep_running(self, process: ChildProcess) -> None:
        crashes = 0
        try:
            while process.should_run():
                started = trio.current_time()
                code = await self._run_once(process)
                if process.stopping:
                    return
                process.restarts += 1
                process.last_exit = _describe_exit(code)
                lived_s = trio.current_time() - started
                killed = code == -signal.SIGKILL
                if not killed:
                    crashes = 1 if lived_s > STABLE_S else crashes + 1
                logger.error(
                    "%s ended with %s and is restarted", process.command.name, _describe_exit(code),
                    extra={"event": "process_restarted", "child": process.command.name},
                )  # fmt: skip
                if killed:
                    # An operator or a kernel short of memory killed the child: however often that happens,
                    # a restart may help.
                    await trio.sleep(0 if lived_s > SHORT_LIFE_S else SHORT_LIFE_S)
                    continue
                if crashes > MAX_FAST_CRASHES:
                    self._give_up(
                        WaypostError(
                            f"{process.command.name} crashed {crashes} times in a row, "
                            f"last with {_describe_exit(code)}; the log above says why"
                        )
                    )
                    return
                await trio.sleep(0 if crashes == 1 else backoff_s(crashes, first_s=0.05, limit_s=3))
        finally:
            process.ended.set()

    async def _run_once(self, process: ChildProcess) -> int:
        command = process.command
        process.popen = popen = subprocess.Popen(  # noqa: ASYNC220, S603  # the main thread; our own command
            command.arguments,
            env=command.environment,
            pass_fds=command.pass_fds,
            stdin=subprocess.DEVNULL,
            # Keeps Ctrl-C from the child: the parent drains the children in order.
            start_new_session=True,
        )
        pidfd = os.pidfd_open(popen.pid)
        try:
            await trio.lowlevel.wait_readable(pidfd)
            return popen.wait()
        finally:
            os.close(pidfd)
            if popen.returncode is None:
                popen.kill()
                popen.wait()
            process.popen = None

    def nodes(self) -> tuple[ActorNode, ...]:
        """Return a node for each child."""
        return tuple(
            ActorNode(
                name=process.command.name,
                kind="process",
                running=process.popen is not None,
                restarts=process.restarts,
                last_error=process.last_exit,
            )
            for process in self.processes
        )

    async def stop(self, prefix: str, limit_s: float) -> None:
        """Ask the children whose names start with `prefix` to drain; kill those that take over `limit_s`."""
        processes = [p for p in self.processes if p.command.name.startswith(prefix)]
        for process in processes:
            process.stopping = True
            self._signal(process, signal.SIGTERM)
        with trio.move_on_after(limit_s):
            for process in processes:
                await process.ended.wait()
        for process in processes:
            if not process.ended.is_set():
                logger.error(
                    "%s did not stop within %g s and is killed", process.command.name, limit_s,
                    extra={"event": "process_killed", "child": process.command.name},
                )  # fmt: skip
                self._signal(process, signal.SIGKILL)

    def _signal(self, process: ChildProcess, number: int) -> None:
        if process.popen is not None and process.popen.returncode is None:
            process.popen.send_signal(number)


def _describe_exit(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
