"""Processes as Linux sees them: started, pinned, their CPU time read, and surely ended."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from storage.embedded.launcher import die_with_parent

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Stat(NamedTuple):
    """From /proc/PID/stat. `started` tells a process from a later one with the same id."""

    parent: int
    cpu_s: float
    started: int


def stat(pid: int) -> Stat:
    """Raises OSError when there is no such process. `cpu_s` is user and system time of all its
    threads, to 10 ms."""
    text = Path(f"/proc/{pid}/stat").read_text()
    # The command's name, in parentheses, may have anything in it.
    fields = text[text.rindex(")") + 2 :].split()
    return Stat(int(fields[1]), (int(fields[11]) + int(fields[12])) / TICKS_PER_S, int(fields[19]))


def cpu_s(pid: int) -> float:
    return stat(pid).cpu_s


def descendants(pid: int) -> dict[int, Stat]:
    """All processes under `pid`, children before their own children."""
    found: dict[int, Stat] = {}
    children: dict[int, list[tuple[int, Stat]]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):
                one = stat(int(name))
                children.setdefault(one.parent, []).append((int(name), one))
    parents = [pid]
    while parents:
        for child, one in children.get(parents.pop(), []):
            found[child] = one
            parents.append(child)
    return found


def pin(pid: int, cores: Collection[int]) -> None:
    """Move all threads of a process to `cores`; threads that it starts later inherit them."""
    for task in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(int(task), cores)


class Placement(NamedTuple):
    """Which core does what. `rest` is for all that is neither the server measured nor its load."""

    server: int
    client: int
    rest: frozenset[int]

    @staticmethod
    def here() -> "Placement":
        """Two cores that share no hyperthreads if there are such; the client's shares with the
        rest where there are no more than two, and all share where there is one."""
        cores = sorted(os.sched_getaffinity(0))
        server = cores[-1]
        apart = [core for core in cores if core not in _siblings(server)]
        client = (apart or cores)[0]
        rest = frozenset(cores) - {client} - (_siblings(server) | {server})
        return Placement(server, client, rest or frozenset({client}))


def _siblings(core: int) -> set[int]:
    """The core itself and those that share its hardware."""
    path = Path(f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list")
    found = {core}
    with contextlib.suppress(OSError):
        for part in path.read_text().strip().split(","):
            low, _, high = part.partition("-")
            found |= set(range(int(low), int(high or low) + 1))
    return found


@contextlib.contextmanager
def on_cores(cores: Collection[int]) -> Iterator[None]:
    """This thread, and processes that it starts within, run on `cores`."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class BackgroundProcess:
    """A process in the background; what it writes goes to the file `log`.

    It has a process group of its own: Ctrl-C reaches us alone, and we end it in order. When we are
    killed, the kernel ends it with SIGTERM.
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
        """The end of what it wrote, for an error's text."""
        lines = self.log.read_text(errors="replace").split("\n")
        return " | ".join([line for line in lines if line.strip()][-count:])

    def stop(self, limit_s: float) -> bool:
        """SIGTERM; after `limit_s`, or when interrupted, SIGKILL for it and all below it.

        True when it ended by itself in time.
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
        for pid, one in below.items():
            with contextlib.suppress(OSError):
                if stat(pid).started == one.started:
                    os.kill(pid, signal.SIGKILL)
