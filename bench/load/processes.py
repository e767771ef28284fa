"""Processes of Linux: start, pin to cores, read CPU time, and end for certain."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from bench.kit.errors import BenchError
from storage.embedded.launcher import die_with_parent

GRACE_S: Final = 30.0  # of a load, after its time

_CPU_CLOCK: Final = 2
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Stat(NamedTuple):
    """Fields of /proc/PID/stat. `started` distinguishes a process from a later one with the same pid."""

    parent: int
    cpu_s: float
    started: int


def stat(pid: int) -> Stat:
    """Return the fields of a process. Raises OSError when it does not exist.

    `cpu_s` is user and system time of all its threads and of its children that have ended, in steps of 10 ms.
    """
    text = Path(f"/proc/{pid}/stat").read_text()
    # The name of the command, in parentheses, may contain any character.
    fields = text[text.rindex(")") + 2 :].split()
    return Stat(int(fields[1]), sum(map(int, fields[11:15])) / TICKS_PER_S, int(fields[19]))


def cpu_s(pid: int) -> float:
    return stat(pid).cpu_s


def exact_cpu_s(pid: int) -> float:
    """Return user and system time of all threads of a process, also of those that ended, in steps of 1 ns.

    Raises OSError when it does not exist.
    """
    # The kernel's number of the clock of a process: clock_getcpuclockid(3).
    return time.clock_gettime((~pid << 3) | _CPU_CLOCK)


def cpu_s_of(pids: Iterable[int]) -> float:
    """Return the sum of their CPU seconds. One that has ended counts at its parent, if that is among them."""
    seconds = 0.0
    for pid in pids:
        with contextlib.suppress(OSError):
            seconds += cpu_s(pid)
    return seconds


def descendants(pid: int) -> dict[int, Stat]:
    """Return all processes below `pid` by pid, parents before their children."""
    below: dict[int, Stat] = {}
    children: dict[int, list[tuple[int, Stat]]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):
                child_stat = stat(int(name))
                children.setdefault(child_stat.parent, []).append((int(name), child_stat))
    parents = [pid]
    while parents:
        for child, child_stat in children.get(parents.pop(), []):
            below[child] = child_stat
            parents.append(child)
    return below


def pin(pid: int, cores: Collection[int]) -> None:
    """Move all threads of a process to `cores`; later threads inherit them."""
    for task in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(int(task), cores)


class Placement(NamedTuple):
    """Cores by role: the measured server, its load (`client`), and `rest` for all other processes."""

    server: int
    client: int
    rest: frozenset[int]

    @staticmethod
    def here() -> "Placement":
        """Return the placement on this machine: server and client on cores without shared hyperthreads, if any.

        With two cores the rest shares the client's, with one core all share it.
        """
        cores = sorted(os.sched_getaffinity(0))
        server = cores[-1]
        apart = [core for core in cores if core not in _siblings(server)]
        client = (apart or cores)[0]
        rest = frozenset(cores) - {client} - (_siblings(server) | {server})
        return Placement(server, client, rest or frozenset({client}))


def _siblings(core: int) -> set[int]:
    """Return the core and the logical cores on the same hardware."""
    path = Path(f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list")
    siblings = {core}
    with contextlib.suppress(OSError):
        for part in path.read_text().strip().split(","):
            low, _, high = part.partition("-")
            siblings |= set(range(int(low), int(high or low) + 1))
    return siblings


@contextlib.contextmanager
def on_cores(cores: Collection[int]) -> Iterator[None]:
    """Run this thread, and processes that it starts in the block, on `cores`."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def load_output(
    name: str, command: Sequence[str], cores: Collection[int], *, seconds: float
) -> str:
    """Run a program that loads a server for `seconds`, on `cores`. Returns what it prints. Raises BenchError,
    which names the program."""
    try:
        with on_cores(cores):
            process = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=seconds + GRACE_S,
                process_group=0,
            )
    except subprocess.TimeoutExpired:
        raise BenchError(f"{name} did not end {GRACE_S:g} s after its time") from None
    if process.returncode != 0:
        raise BenchError(f"{name} failed: {(process.stderr or process.stdout).strip()[-300:]}")
    return process.stdout


class BackgroundProcess:
    """A process in the background; its output goes to the file `log`.

    It has its own process group, so that Ctrl-C reaches only this process, which then stops it in order. If
    this process is killed, the kernel ends it with SIGTERM.
    """

    def __init__(
        self, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.log = log
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=environment,
                process_group=0,
                preexec_fn=partial(die_with_parent, os.getpid(), signal.SIGTERM),
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    def running(self) -> bool:
        return self.process.poll() is None

    def last_lines(self, count: int = 3) -> str:
        """Return the last lines of its output, for an error text."""
        lines = self.log.read_text(errors="replace").split("\n")
        return " | ".join([line for line in lines if line.strip()][-count:])

    def stop(self, limit_s: float) -> bool:
        """Send SIGTERM; after `limit_s`, or when interrupted, SIGKILL to it and all processes below it.

        Returns whether it ended in time.
        """
        if not self.running():
            return True
        self.process.terminate()
        try:
            self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            return False
        finally:
            if self.running():
                self._kill()
        return True

    def _kill(self) -> None:
        below = descendants(self.pid)
        self.process.kill()
        self.process.wait()
        for pid, child_stat in below.items():
            with contextlib.suppress(OSError):
                if stat(pid).started == child_stat.started:
                    os.kill(pid, signal.SIGKILL)


def free_ports(count: int) -> list[int]:
    """Return ports of 127.0.0.1 that no process uses at the moment."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [int(sock.getsockname()[1]) for sock in sockets]


def accepts(port: int) -> bool:
    """Return whether a process accepts connections to a port of 127.0.0.1."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
