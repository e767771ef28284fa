"""A receiver of webhooks on the loopback for a real engine, which a test makes well or unwell."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


class LoopbackHooks(ThreadingHTTPServer):
    """A server that answers every request with `status`, 204 or an error with a short text."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.status = 204
        self.url = f"http://127.0.0.1:{self.server_port}/hook"


class _Answer(BaseHTTPRequestHandler):
    server: LoopbackHooks

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        text = b"" if self.server.status == 204 else b"closed for <b>repairs</b>"
        self.send_response(self.server.status)
        if text:
            self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        """Write nothing to the output of the tests."""


@contextmanager
def receiving() -> Iterator[LoopbackHooks]:
    """Run a receiver until the block ends."""
    with LoopbackHooks() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
