"""Server process, from its start to its certain end.

Guarantees:
- it ends with the engine, however the engine ends: the launcher asks the kernel for a signal at the death of
  the thread that started it; only the main thread may therefore start a server;
- it has its own session, so that a terminal's Ctrl-C reaches the engine alone, which then stops the server;
- every wait has a bound, and SIGKILL follows the last one;
- processes that an earlier run left alive in the folder are ended before a new server starts. They are found by
  their working folder, not by a pid file: pids are reused, and children of a killed postmaster outlive it for a
  moment.
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
# Nothing of the engine's: PGPORT, LD_LIBRARY_PATH or a locale that is not installed would change the server.
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
        raise RuntimeError(
            "servers end with the thread that starts them: start them in the main one"
        )
    words = [str(os.getpid()), str(int(death_signal)), way, *map(str, owned), "--", *command]
    source = _filled_pipe(text)
    try:
        return subprocess.Popen(  # noqa: S603  # no word comes from outside, and no shell reads them
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
    """A server process. Subclasses define how Postgres or Valkey is started, probed and ended."""

    name: str
    program: str  # as the kernel names the process
    steps: Steps  # the signals that end it, each with the seconds to wait

    def __init__(self, home: Path, log: ServerLog) -> None:
        self.home = home
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process id since the last start, dead or alive; None once stopped."""
        return self._process.pid if self._process else None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def begin_start(self) -> None:
        """End processes of an earlier run, and start. Returns before the server answers."""
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
        """Wait until the server answers. Raises EmbeddedError if it ends or takes too long."""
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
        """Ask the server to end. Returns at once."""
        if self.running and self._process is not None:
            self._process.send_signal(self.steps[0][0])

    def finish_stop(self) -> None:
        """Wait for the end of the server, and force it if needed. Call after `begin_stop`."""
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

    def failure(self, summary: str) -> EmbeddedError:
        words = self.log.last_words()
        return EmbeddedError(f"{summary}: {words}" if words else f"{summary}; see {self.log.path}")

    def leftover_steps(self) -> Steps:
        """Return the signals that end processes of an earlier run in the home."""
        return self.steps

    @abstractmethod
    def prepare(self) -> None:
        """Prepare the home for a start. No process runs in it."""

    @abstractmethod
    def spawn(self, output: int) -> "subprocess.Popen[bytes]":
        """Start the process."""

    @abstractmethod
    def answers(self, pid: int) -> bool:
        """Return whether the server takes commands. Quick, never raises."""


def clear_residents(home: Path, program: str, steps: Steps) -> None:
    """End all processes of `program` that work in `home`, step by step. Raises EmbeddedError."""
    for step, seconds in steps:
        pids = residents(home, program)
        if not pids:
            return
        for pid in pids:
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
    """Return the ids of running processes named `program` whose working folder is `home`."""
    folder, name, pids = str(home), program.encode(), []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            # The name first: every user can read it, but only the process's own user can read the folder.
            with open(f"/proc/{entry}/comm", "rb") as file:
                if file.read().strip() != name:
                    continue
            if os.readlink(f"/proc/{entry}/cwd") == folder:
                pids.append(int(entry))
        except OSError:
            continue
    return pids


def _filled_pipe(text: str) -> int:
    """Return the reading end of a pipe with `text` (less than a pipe's 4 KiB) and then its end."""
    source, sink = os.pipe()
    os.write(sink, text.encode())
    os.close(sink)
    return source


def wait_until(done: Callable[[], bool], timeout_s: float) -> bool:
    """Wait for `done()`. Returns whether it became true in time."""
    deadline = time.monotonic() + timeout_s
    while not done():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True
