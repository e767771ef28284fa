"""One server process, from its start to its certain end.

Guarantees:
- it ends when we end, however we end: the launcher asks the kernel for a signal at our death, which
  is tied to the thread that started it; hence only the main thread may start one;
- it has a session of its own, so a terminal's Ctrl-C reaches us first and we decide when it stops;
- every wait has a bound, and at the end of the last bound there is SIGKILL;
- what an earlier run left alive in the folder is gone before a new server starts. It is found by
  its working folder, not by a pid file: pids are reused, and a killed postmaster's children outlive
  it for a moment.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from storage.embedded.errors import EmbeddedError, one_line
from storage.embedded.log import ServerLog

RootWay = Literal["auto", "namespace", "account", "keep"]
Steps = Sequence[tuple[signal.Signals, float]]

START_TIMEOUT_S = 120.0
_POLL_S = 0.004
_LAUNCHER = str(Path(__file__).with_name("launcher.py"))
# Nothing of ours: PGPORT, LD_LIBRARY_PATH or a locale that isn't installed would change the server.
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


def launch(
    command: Sequence[str],
    *,
    death_signal: signal.Signals,
    way: RootWay,
    owned: Sequence[Path] = (),
    environment: Mapping[str, str] | None = None,
    output: int,
    text: str = "",
) -> "subprocess.Popen[bytes]":
    """Start `command` bound to this thread's life, with a short `text` as its input.

    See `launcher.py` for `way` and `owned`.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("servers live as long as the thread that starts them: use the main one")
    words = [str(os.getpid()), str(int(death_signal)), way, *map(str, owned), "--", *command]
    source = _filled_pipe(text)
    try:
        return subprocess.Popen(  # noqa: S603  # the words are ours, and no shell reads them
            [sys.executable, "-I", "-S", _LAUNCHER, *words],
            stdin=source,
            stdout=output,
            stderr=output,
            cwd="/",
            env={**_ENVIRONMENT, **(environment or {})},
            start_new_session=True,
        )
    except OSError as error:
        raise EmbeddedError(f"cannot start {command[0]}: {one_line(error)}") from error
    finally:
        os.close(source)


class Server(ABC):
    """What Postgres and Valkey have in common. A subclass says how to start, ask and end one."""

    name: str
    program: str  # as the kernel names the process
    steps: Steps  # the signals that end it, each with the seconds it is given

    def __init__(self, home: Path, log: ServerLog) -> None:
        self.home = home
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Its process since the last start, dead or alive; None once stopped."""
        return self._process.pid if self._process else None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def begin_start(self) -> None:
        """Clear what an earlier run left, and start. Returns before the server answers."""
        self._process = None
        try:
            clear_residents(self.home, self.program, self.leftover_steps())
            self.prepare()
            output = self.log.open()
        except OSError as error:
            path = error.filename or self.home
            raise EmbeddedError(f"cannot write to {path}: {one_line(error)}") from error
        try:
            self._process = self.spawn(output)
        finally:
            os.close(output)

    def await_ready(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Returns when the server answers. Raises EmbeddedError if it ends or takes too long."""
        process = self._process
        if process is None:
            raise RuntimeError(f"{self.name} was not started")
        if not wait_until(
            lambda: process.poll() is not None or self.answers(process.pid), timeout_s
        ):
            raise self.failure(f"{self.name} does not answer after {timeout_s:.0f} s")
        if process.poll() is not None:
            raise self.failure(f"{self.name} did not start (exit code {process.returncode})")

    def begin_stop(self) -> None:
        """Ask it to end. Returns at once."""
        if self.running and self._process is not None:
            self._process.send_signal(self.steps[0][0])

    def finish_stop(self) -> None:
        """It has ended when this returns, by itself or by force. Needs `begin_stop` before."""
        process = self._process
        if process is None:
            return
        for number, (step, seconds) in enumerate(self.steps):
            if number > 0:
                process.send_signal(step)
            if wait_until(lambda: process.poll() is not None, seconds):
                break
        self._process = None
        clear_residents(self.home, self.program, ((signal.SIGKILL, 2.0),))

    def failure(self, what: str) -> EmbeddedError:
        words = self.log.last_words()
        return EmbeddedError(f"{what}: {words}" if words else f"{what}; see {self.log.path}")

    def leftover_steps(self) -> Steps:
        """How to end what an earlier run left alive in the home."""
        return self.steps

    @abstractmethod
    def prepare(self) -> None:
        """Make the home ready for a start, when nothing runs in it."""

    @abstractmethod
    def spawn(self, output: int) -> "subprocess.Popen[bytes]":
        """Start the process."""

    @abstractmethod
    def answers(self, pid: int) -> bool:
        """Whether it takes commands now. Quick, never raises."""


def clear_residents(home: Path, program: str, steps: Steps) -> None:
    """No process of `program` works in `home` when this returns; each step's signal goes to all."""
    for step, seconds in steps:
        found = residents(home, program)
        if not found:
            return
        for pid in found:
            try:
                os.kill(pid, step)
            except ProcessLookupError:
                pass
            except PermissionError as error:
                raise EmbeddedError(
                    f"{program} (process {pid}) of another user runs in {home}"
                ) from error
        if wait_until(lambda: not residents(home, program), seconds):
            return
    raise EmbeddedError(f"{program} still runs in {home}, and cannot be stopped")


def residents(home: Path, program: str) -> list[int]:
    """The living processes named `program` whose working folder is `home`."""
    place, name, found = str(home), program.encode(), []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            # The name first: it is open to all, the folder only to the process's own user.
            with open(f"/proc/{entry}/comm", "rb") as file:
                if file.read().strip() != name:
                    continue
            if os.readlink(f"/proc/{entry}/cwd") == place:
                found.append(int(entry))
        except OSError:
            continue
    return found


def _filled_pipe(text: str) -> int:
    """The reading end of a pipe that holds `text`, less than a pipe's 4 KiB, and then ends."""
    source, sink = os.pipe()
    os.write(sink, text.encode())
    os.close(sink)
    return source


def wait_until(done: Callable[[], bool], timeout_s: float) -> bool:
    """Whether `done` came true in time."""
    deadline = time.monotonic() + timeout_s
    while not done():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True
