"""The launcher: the engine's processes as children of one parent, restarted when they die.

Children are started from the main thread, never from a worker thread: they end with the thread that started
them (PR_SET_PDEATHSIG), so that a kill -9 of the parent leaves no orphan process behind.
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
BRIEF_S: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessCommand:
    """How to start one child. `pass_fds` stay open in it under the same numbers."""

    name: str
    arguments: Sequence[str]
    environment: dict[str, str]
    pass_fds: tuple[int, ...] = ()


@dataclass(slots=True)
class ChildProcess:
    command: ProcessCommand
    popen: "subprocess.Popen[bytes] | None" = None
    restarts: int = 0
    last_ending: str = ""
    stopping: bool = False
    ended: trio.Event = field(default_factory=trio.Event)

    @property
    def pid(self) -> int:
        return self.popen.pid if self.popen is not None else 0

    def wanted(self) -> bool:
        """Not yet asked to stop; that may come while it waits to be started again."""
        return not self.stopping


class Launcher:
    """Keeps the children running. `give_up` is told once when restarting one does not help."""

    def __init__(
        self, commands: list[ProcessCommand], give_up: Callable[[WaypostError], None]
    ) -> None:
        self.processes = [ChildProcess(command) for command in commands]
        self._give_up = give_up

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            for process in self.processes:
                nursery.start_soon(self._keep, process, name=process.command.name)

    async def _keep(self, process: ChildProcess) -> None:
        crashes = 0
        try:
            while process.wanted():
                started = trio.current_time()
                code = await self._run_once(process)
                if process.stopping:
                    return
                process.restarts += 1
                process.last_ending = _ending(code)
                lived_s = trio.current_time() - started
                killed = code == -signal.SIGKILL
                if not killed:
                    crashes = 1 if lived_s > STABLE_S else crashes + 1
                logger.error(
                    "%s ended with %s and is started again", process.command.name, _ending(code),
                    extra={"event": "process_restarted", "child": process.command.name},
                )  # fmt: skip
                if killed:
                    # From outside: somebody's kill -9, or a kernel short of memory. However often it
                    # comes, it does not say that starting again is of no use.
                    await trio.sleep(0 if lived_s > BRIEF_S else BRIEF_S)
                    continue
                if crashes > MAX_FAST_CRASHES:
                    self._give_up(
                        WaypostError(
                            f"{process.command.name} crashed {crashes} times in a row, "
                            f"last with {_ending(code)}; the log above says why"
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
            # Not Ctrl-C's: the parent drains them in order.
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
        """The children, as the launcher knows them."""
        return tuple(
            ActorNode(
                name=process.command.name,
                kind="process",
                running=process.popen is not None,
                restarts=process.restarts,
                last_error=process.last_ending,
            )
            for process in self.processes
        )

    async def stop(self, prefix: str, limit_s: float) -> None:
        """Ask the children whose names start with `prefix` to drain; by force when they take too long."""
        chosen = [p for p in self.processes if p.command.name.startswith(prefix)]
        for process in chosen:
            process.stopping = True
            self._signal(process, signal.SIGTERM)
        with trio.move_on_after(limit_s):
            for process in chosen:
                await process.ended.wait()
        for process in chosen:
            if not process.ended.is_set():
                logger.error(
                    "%s did not stop within %g s and is killed", process.command.name, limit_s,
                    extra={"event": "process_killed", "child": process.command.name},
                )  # fmt: skip
                self._signal(process, signal.SIGKILL)

    def _signal(self, process: ChildProcess, number: int) -> None:
        if process.popen is not None and process.popen.returncode is None:
            process.popen.send_signal(number)


def _ending(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
