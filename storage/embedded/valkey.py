"""Valkey in a data folder: on a unix socket alone, with an append-only file.

When the engine dies, Valkey gets SIGTERM rather than SIGKILL. Both keep every answered command, because Valkey
writes to the file before it answers; SIGTERM also syncs the last second to the disk.

A file that Valkey cannot load is set aside, and Valkey starts empty: the edges' journals have all clicks that
are not in Postgres, so an empty Valkey costs what docs/design/failures.md says, and one that does not start
stops the engine.
"""

import logging
import os
import re
import shutil
import signal
import socket
import subprocess
from pathlib import Path
from typing import Final

from storage.embedded import wheel
from storage.embedded.errors import EmbeddedError, one_line
from storage.embedded.folder import FolderLayout, make_folder
from storage.embedded.log import ServerLog
from storage.embedded.process import START_TIMEOUT_S, Server, launch

_PING_TIMEOUT_S = 0.5
_BLOCK_BYTES = 64 * 1024
_FOLDER: Final = "appendonlydir"
# Words of Valkey about a file that is damaged or missing. None of them is about a disk that is full, or a file
# that may not be read.
_DAMAGE: Final = re.compile(
    r"Bad file format reading|Error reading the append only file|Unable to obtain the AOF file"
    r"|FATAL AOF MANIFEST FILE ERROR(?!.*Read AOF manifest failed)|Check RDB returned error",
    re.DOTALL,
)

logger = logging.getLogger("waypost.embedded")


class Valkey(Server):
    """See `Server`. `durable=False` is for tests: it never syncs."""

    name = "valkey"
    program = "valkey-server"
    steps = ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0))

    def __init__(self, layout: FolderLayout, durable: bool) -> None:
        super().__init__(layout.valkey, ServerLog(layout.logs / "valkey.log"))
        self.socket = layout.run / "valkey.sock"
        self._durable = durable

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def prepare(self) -> None:
        make_folder(self.home)
        self.socket.unlink(missing_ok=True)
        for file in self.home.glob(f"{_FOLDER}/*.incr.aof"):
            cut_zeros(file)

    def await_ready(self, timeout_s: float = START_TIMEOUT_S) -> None:
        try:
            super().await_ready(timeout_s)
        except EmbeddedError as error:
            if self.running or not _DAMAGE.search(self.log.last_text()):
                raise
            self._set_aside(error)
            self.begin_start()
            super().await_ready(timeout_s)

    def _set_aside(self, error: EmbeddedError) -> None:
        """Rename the folder of the file; one that was set aside before is deleted. Raises EmbeddedError."""
        folder, aside = self.home / _FOLDER, self.home / f"{_FOLDER}.damaged"
        try:
            shutil.rmtree(aside, ignore_errors=True)
            folder.rename(aside)
        except OSError as reason:
            raise EmbeddedError(
                f"{error}; {folder} cannot be renamed: {one_line(reason)}"
            ) from reason
        logger.error(
            "Valkey starts empty, as its file cannot be loaded: it is in %s now (%s)", aside, error,
            extra={"event": "valkey_set_aside"},
        )  # fmt: skip

    def spawn(self, output: int) -> "subprocess.Popen[bytes]":
        command = [wheel.valkey_program()]
        for name, value in self._settings().items():
            command += [f"--{name}", value]
        return launch(command, death_signal=signal.SIGTERM, way="keep", output=output)

    def answers(self, pid: int) -> bool:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as wire:
                wire.settimeout(_PING_TIMEOUT_S)
                wire.connect(os.fsencode(self.socket))
                wire.sendall(b"PING\r\n")
                # While it loads its file, it answers -LOADING.
                return wire.recv(16).startswith(b"+PONG")
        except OSError:
            return False

    def _settings(self) -> dict[str, str]:
        return {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self.home),
            "daemonize": "no",
            "logfile": "",
            "save": "",
            "appendonly": "yes",
            "appendfsync": "everysec" if self._durable else "no",
            # A kill or a power cut in mid-write leaves half a command at the end.
            "aof-load-truncated": "yes",
            "auto-aof-rewrite-percentage": "100",
            "auto-aof-rewrite-min-size": "64mb",
            # With full memory it must refuse writes, not evict clicks that are not in Postgres yet.
            "maxmemory-policy": "noeviction",
        }


def cut_zeros(file: Path) -> None:
    """Drop the zero bytes at the end of `file`.

    A power cut can leave a file at its new size without its new data. Valkey loads a file that ends
    in mid-command, but refuses one that ends in zeros; a whole command never does.
    """
    with file.open("r+b") as content:
        size = end = content.seek(0, os.SEEK_END)
        while end > 0:
            start = max(0, end - _BLOCK_BYTES)
            content.seek(start)
            content_left = content.read(end - start).rstrip(b"\0")
            end = start + len(content_left)
            if content_left:
                break
        if end < size:
            content.truncate(end)
