"""HAProxy as a peer: the same paths and targets from a map file, one thread.

Its log has the fields of nginx's and goes to a ring in memory, the cheapest of HAProxy's logs. No file is
written.
"""

import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bench.kit.errors import BenchError
from bench.kit.link_set import SampleLink
from bench.load.processes import BackgroundProcess, accepts, free_ports

START_LIMIT_S: Final = 20.0
STOP_LIMIT_S: Final = 10.0

_CONFIG: Final = """\
global
    nbthread 1
    maxconn {maxconn}
    log ring@visits len 2048 format raw local0
ring visits
    format raw
    maxlen 2048
    size 1048576
defaults
    mode http
    timeout client 65s
    timeout http-keep-alive 65s
    timeout http-request 10s
    timeout connect 5s
    timeout server 65s
    log global
    log-format "%ci - - [%tr] %{{+Q}}r %ST %B %{{+Q}}[capture.req.hdr(0)] %{{+Q}}[capture.req.hdr(1)]"
frontend visitors
    bind 127.0.0.1:{port} backlog 4096
    http-request capture req.hdr(referer) len 512
    http-request capture req.hdr(user-agent) len 512
    http-request redirect code 302 location %[path,map({folder}/links.map)]
"""


class HAProxy:
    """A running HAProxy as a context manager. Raises BenchError when it does not start."""

    name: Final = "haproxy"

    def __init__(self, links: Sequence[SampleLink], connections: int) -> None:
        self.links = links
        self.connections = connections
        self.folder = Path(tempfile.mkdtemp(prefix="waypost-bench-haproxy-"))
        (self.port,) = free_ports(1)
        self._child: BackgroundProcess | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        return self._child.pid if self._child is not None else 0

    def __enter__(self) -> "HAProxy":
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        try:
            if self._child is not None:
                self._child.stop(STOP_LIMIT_S)
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def tidy(self) -> None:
        """Do nothing: its log is a ring."""

    def _start(self) -> None:
        path = find()
        if path is None:
            raise BenchError("haproxy is not installed: apt-get install haproxy")
        (self.folder / "links.map").write_text(link_map(self.links))
        file = self.folder / "haproxy.cfg"
        # Each takes two file descriptors of the process' limit; some are for the checks.
        maxconn = self.connections + 100
        file.write_text(_CONFIG.format(port=self.port, folder=self.folder, maxconn=maxconn))
        # -db: one process in the foreground, which is then the one that answers.
        self._child = child = BackgroundProcess([path, "-db", "-f", str(file)], self.folder / "log")
        until = time.monotonic() + START_LIMIT_S
        while time.monotonic() < until and child.running():
            if accepts(self.port):
                return
            time.sleep(0.02)
        raise BenchError(f"haproxy did not start: {child.last_lines()}")


def link_map(links: Sequence[SampleLink]) -> str:
    """Return a map file: a path and its target a line."""
    return "".join(f"{link.path} {link.target}\n" for link in links)


def find() -> str | None:
    """Return the path of HAProxy, None if it is not installed."""
    return shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin")
