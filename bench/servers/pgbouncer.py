"""A real PgBouncer in transaction mode, with the settings of docs/pgbouncer.ini."""

import configparser
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import parse_qs, quote, urlsplit

from bench.kit.errors import BenchError
from bench.load.processes import free_ports
from storage.embedded.process import launch

EXAMPLE: Final = Path(__file__).parents[2] / "docs" / "pgbouncer.ini"
START_LIMIT_S: Final = 10.0
_MODE: Final = 0o755


def program() -> str:
    """Return the path of pgbouncer, or an empty text where it is not installed."""
    folders = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
    return shutil.which("pgbouncer", path=folders) or ""


class PgBouncer:
    """A pooler of the databases of one server, as a context manager; `url` leads through it.

    `database_url` is the server's. `settings` replace those of the example. Raises BenchError.
    """

    def __init__(self, database_url: str, **settings: str) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="waypost-pgbouncer-"))
        self._folder.chmod(_MODE)
        self._server = _address(database_url)
        self._settings = settings
        self._port = free_ports(1)[0]
        self._process: subprocess.Popen[bytes] | None = None
        self.url = self.through(database_url)

    def __enter__(self) -> Self:
        try:
            self._write()
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        return self._process.pid if self._process is not None else 0

    def start(self) -> None:
        """Start it, and wait until it accepts connections."""
        with (self._folder / "log").open("ab") as log:
            self._process = launch(
                [program(), str(self._folder / "pgbouncer.ini")],
                death_signal=signal.SIGKILL,
                way="auto",
                owned=(self._folder,),
                output=log.fileno(),
            )
        until = time.monotonic() + START_LIMIT_S
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._port)):
                return
            if self._process.poll() is not None or time.monotonic() > until:
                raise BenchError(f"pgbouncer does not start: {self.log()}")
            time.sleep(0.01)

    def lead_to(self, database_url: str) -> None:
        """Lead to another server from now on, as after a failover."""
        self._server = _address(database_url)
        self._write()
        if self._process is not None:
            self._process.send_signal(signal.SIGHUP)

    def kill(self) -> None:
        """End it with SIGKILL; its clients' connections and those to the server end too."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def log(self) -> str:
        return (self._folder / "log").read_text(errors="replace")[-2000:]

    def through(self, url: str) -> str:
        """Return the URL of the same user and database, of the same server, through the pooler."""
        parts = urlsplit(url)
        credentials, at, _ = parts.netloc.rpartition("@")
        return f"postgresql://{credentials}{at}127.0.0.1:{self._port}{parts.path}"

    def _write(self) -> None:
        config = configparser.ConfigParser(interpolation=None, comment_prefixes=(";",))
        config.read(EXAMPLE)
        config["databases"] = {"*": " ".join(f"{k}={v}" for k, v in self._server.items())}
        users = self._folder / "users.txt"
        users.write_text(f'"{self._server["user"]}" ""\n')
        config["pgbouncer"].update(
            {
                "listen_addr": "127.0.0.1",
                "listen_port": str(self._port),
                "unix_socket_dir": "",
                "auth_type": "trust",
                "auth_file": str(users),
                **self._settings,
            }
        )
        with (self._folder / "pgbouncer.ini").open("w") as file:
            config.write(file)


def _address(url: str) -> dict[str, Any]:
    """Return PgBouncer's words for the server and user of a URL."""
    parts = urlsplit(url)
    options = {name: values[0] for name, values in parse_qs(parts.query).items()}
    host = options.get("host", parts.hostname or "127.0.0.1")
    port = options.get("port", str(parts.port or 5432))
    address = {"host": host, "port": port, "user": parts.username or "waypost"}
    return address | ({"password": quote(parts.password)} if parts.password else {})
