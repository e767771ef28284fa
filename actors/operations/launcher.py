"""The launcher: starts the engine's processes as children of one parent and restarts them when they die.

It starts children from the main thread, never from a worker thread: a child ends with the thread that started
it (PR_SET_PDEATHSIG), so that a kill -9 of the parent leaves no orphan process behind.

A child that hands over and is asked to stop from outside serves on until its successor does
(actors/operations/handover.py).
"""

import logging
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import trio

from actors.operations import handover
from engine.common.errors import WaypostError
from engine.common.retry import backoff_s
from engine.operations.actor_tree import ActorNode

logger = logging.getLogger("waypost.launcher")

STABLE_S: Final = 20.0
MAX_FAST_CRASHES: Final = 12
SHORT_LIFE_S: Final = 0.5
LEAVING_LIMIT_S: Final = 60.0  # of a child whose successor serves


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessCommand:
    """The command of one child. `pass_fds` stay open in the child under the same numbers. With `hands_over` it
    gets the descriptor of a handover in its environment."""

    name: str
    arguments: Sequence[str]
    environment: dict[str, str]
    pass_fds: tuple[int, ...] = ()
    hands_over: bool = False


@dataclass(slots=True)
class ChildProcess:
    command: ProcessCommand
    popen: "subprocess.Popen[bytes] | None" = None
    restarts: int = 0
    last_exit: str = ""
    stopping: bool = False
    ended: trio.Event = field(default_factory=trio.Event)
    # Set when the current child, or none any more, is to be waited for by those before it.
    serves: trio.Event = field(default_factory=trio.Event)
    leaving: int = 0  # children that have a successor

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
        self._nursery: trio.Nursery | None = None

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
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
                if code is None:
                    process.last_exit, crashes = "asked to stop", 0
                    continue
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
            process.serves.set()
            process.ended.set()

    async def _run_once(self, process: ChildProcess) -> int | None:
        """Run a child until it ends. Returns its exit code; None for a child that leaves and serves on."""
        child, leaves = _Child(process.command), False
        process.popen = child.popen
        try:
            while (word := await child.word()) == handover.SERVES:
                process.serves.set()
            if word == handover.LEAVES and not process.stopping and self._nursery is not None:
                leaves = True
                process.serves = trio.Event()
                process.leaving += 1
                self._nursery.start_soon(self._see_off, process, child)
                return None
            child.release()
            return await child.wait()
        finally:
            process.popen = None
            if not leaves:
                child.end()

    async def _see_off(self, process: ChildProcess, child: "_Child") -> None:
        """Let a child go once its successor serves, and wait for its end."""
        name, successor = process.command.name, process.serves
        logger.info(
            "%s was asked to stop; its successor is started", name,
            extra={"event": "process_handed_over", "child": name},
        )  # fmt: skip
        try:
            with trio.move_on_after(handover.HANDOVER_S):
                await successor.wait()
            child.release()
            with trio.move_on_after(LEAVING_LIMIT_S):
                await child.wait()
        finally:
            child.end()
            process.leaving -= 1

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
            process.serves.set()
            self._signal(process, signal.SIGTERM)
        with trio.move_on_after(limit_s):
            for process in processes:
                await process.ended.wait()
                while process.leaving:  # noqa: ASYNC110  # a few, and rarely
                    await trio.sleep(0.02)
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


class _Child:
    """A running child, and the launcher's end of its handover, if it has one."""

    def __init__(self, command: ProcessCommand) -> None:
        self._ours: socket.socket | None = None
        theirs: socket.socket | None = None
        environment, pass_fds = command.environment, command.pass_fds
        if command.hands_over:
            self._ours, theirs = socket.socketpair()
            self._ours.setblocking(False)
            environment = environment | {handover.VARIABLE: str(theirs.fileno())}
            pass_fds = (*pass_fds, theirs.fileno())
        try:
            self.popen = subprocess.Popen(  # noqa: S603  # our own command
                command.arguments,
                env=environment,
                pass_fds=pass_fds,
                stdin=subprocess.DEVNULL,
                # Keeps Ctrl-C from the child: the parent drains the children in order.
                start_new_session=True,
            )
        finally:
            if theirs is not None:
                theirs.close()
        self._pidfd = os.pidfd_open(self.popen.pid)

    async def word(self) -> bytes:
        """Return the next word of the child's handover; empty when it has ended or has none."""
        ours = self._ours
        if ours is None:
            return b""
        async with trio.open_nursery() as nursery:
            # The end, too: a process that the child has left behind may have its descriptors.
            nursery.start_soon(_cancel_when_readable, nursery.cancel_scope, ours)
            nursery.start_soon(_cancel_when_readable, nursery.cancel_scope, self._pidfd)
        try:
            return ours.recv(1)
        except OSError:
            return b""

    def release(self) -> None:
        """Let the child go: it waits for its successor no longer."""
        if self._ours is not None:
            self._ours.close()
            self._ours = None

    async def wait(self) -> int:
        await trio.lowlevel.wait_readable(self._pidfd)
        return self.popen.wait()

    def end(self) -> None:
        """Kill the child if it still runs, and free what belongs to it."""
        self.release()
        os.close(self._pidfd)
        if self.popen.returncode is None:
            self.popen.kill()
            self.popen.wait()


async def _cancel_when_readable(scope: trio.CancelScope, file: socket.socket | int) -> None:
    await trio.lowlevel.wait_readable(file)
    scope.cancel()


def _describe_exit(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
