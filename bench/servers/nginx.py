"""nginx as a peer: the same paths and targets, with the least possible work.

It has one worker, `return 302` from a `map` in a server without locations, a buffered access log, and
connections without a limit of requests. It counts nothing, so its cost is the least cost of a redirect. With a
page, it sends that for every path, from a file that it keeps open.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bench.kit.errors import BenchError
from bench.kit.link_set import SampleLink
from bench.load.processes import BackgroundProcess, accepts, descendants, free_ports
from bench.load.wrk import INSTALL

START_LIMIT_S = 10.0
STOP_LIMIT_S = 10.0

_CONFIG = """
daemon off;
worker_processes 1;
worker_rlimit_nofile 65536;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 16384; }}
http {{
    server_tokens off;
    access_log {folder}/access.log combined buffer=64k;
    keepalive_timeout 65;
    keepalive_requests 1000000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    map_hash_max_size {hash_size};
    map_hash_bucket_size 256;
    map $uri $target {{
{rows}
    }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        {answer}
    }}
}}
"""


_PAGE: Final = """\
sendfile on;
        tcp_nopush on;
        open_file_cache max=10 inactive=60s;
        add_header Content-Encoding br;
        default_type text/html;
        root {folder};
        location / {{ rewrite ^ /page break; }}"""


class Nginx:
    """A running nginx as a context manager. `worker` is the pid of the process that answers."""

    def __init__(self, links: Sequence[SampleLink], page: bytes = b"") -> None:
        self.links = links
        self.page = page
        self.folder = Path(tempfile.mkdtemp(prefix="waypost-bench-nginx-"))
        (self.port,) = free_ports(1)
        self.worker = 0
        self._child: BackgroundProcess | None = None

    def __enter__(self) -> "Nginx":
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        try:
            if self._child is not None:
                self._child.stop(STOP_LIMIT_S)
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def empty_log(self) -> None:
        """Truncate the access log, which grows by about 20 MB/s under full load."""
        os.truncate(self.folder / "access.log", 0)

    def _start(self) -> None:
        path = self.folder / "nginx.conf"
        answer = "return 302 $target;"
        if self.page:
            # Its worker may run as another user.
            self.folder.chmod(0o755)
            (self.folder / "page").write_bytes(self.page)
            answer = _PAGE.format(folder=self.folder)
        path.write_text(config(self.links, self.folder, self.port, answer))
        command = [
            find(),
            "-e",
            f"{self.folder}/error.log",
            "-p",
            str(self.folder),
            "-c",
            str(path),
        ]
        self._child = child = BackgroundProcess(command, self.folder / "log")
        until = time.monotonic() + START_LIMIT_S
        while time.monotonic() < until and child.running():
            workers = list(descendants(child.pid))
            if workers and accepts(self.port):
                self.worker = workers[0]
                return
            time.sleep(0.02)
        raise BenchError(f"nginx did not start: {child.last_lines()}")


def config(
    links: Sequence[SampleLink], folder: Path, port: int, answer: str = "return 302 $target;"
) -> str:
    rows = "\n".join(f'        "{link.path}" "{link.target}";' for link in links)
    size = max(2048, 4 * len(links))
    return _CONFIG.format(folder=folder, port=port, rows=rows, hash_size=size, answer=answer)


def find() -> str:
    """Return the path of nginx. Raises BenchError that says what to install."""
    path = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if path is None:
        raise BenchError(f"nginx is not installed: {INSTALL}")
    return path
