"""Valkey in a data folder: on a unix socket alone, with an append-only file.

When the engine dies, Valkey gets SIGTERM rather than SIGKILL. Both keep every answered command, because Valkey
writes to the file before it answers; SIGTERM also syncs the last second to the disk.
"""

import os
import signal
import socket
import subprocess
from pathlib import Path

from storage.embedded import wheel
from storage.embedded.folder import FolderLayout, make_folder
from storage.embedded.log import ServerLog
from storage.embedded.process import Server, launch

_PING_TIMEOUT_S = 0.5
_BLOCK_BYTES = 64 * 1024


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
        for file in self.home.glob("appendonlydir/*.incr.aof"):
            cut_zeros(file)

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
