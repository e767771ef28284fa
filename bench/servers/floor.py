"""The floor as a peer: bench/servers/floor.c, the least that a server does which writes requests down."""

import time
from pathlib import Path
from typing import Final

from bench.kit.errors import BenchError
from bench.load.processes import BackgroundProcess, accepts, free_ports
from bench.servers import c_programs

START_LIMIT_S: Final = 10.0
STOP_LIMIT_S: Final = 10.0
_SOURCE: Final = Path(__file__).with_name("floor.c")


class Floor:
    """The running program as a context manager; `folder` gets its journal of 64 MB. Raises BenchError."""

    name: Final = "floor"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._child: BackgroundProcess | None = None
        (self.port,) = free_ports(1)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        return self._child.pid if self._child is not None else 0

    def __enter__(self) -> "Floor":
        program = c_programs.build(_SOURCE, self._folder)
        command = [str(program), str(self.port), str(self._folder / "floor.journal")]
        self._child = BackgroundProcess(command, self._folder / "floor.log")
        until = time.monotonic() + START_LIMIT_S
        while not accepts(self.port):
            if time.monotonic() > until or not self._child.running():
                self.close()
                raise BenchError(f"the floor did not start: {self._child.last_lines()}")
            time.sleep(0.02)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._child is not None:
            self._child.stop(STOP_LIMIT_S)

    def tidy(self) -> None:
        """Do nothing: its journal does not grow."""
