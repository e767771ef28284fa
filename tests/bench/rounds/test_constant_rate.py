"""Load at a constant rate: the real program against real servers on loopback."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.kit.errors import BenchError
from bench.load.processes import exact_cpu_s, free_ports
from bench.rounds import constant_rate
from bench.rounds.constant_rate import RateResult
from bench.servers import c_programs
from bench.servers.floor import Floor

pytestmark = pytest.mark.skipif(c_programs.compiler() is None, reason="there is no C compiler")
HEAD = b"GET /a/b HTTP/1.1\r\nHost: x\r\n\r\n"
CLOSING = b"GET /a/c HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
REDIRECT = b"HTTP/1.1 302 Found\r\nContent-Length: 3\r\n\r\nabc"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return constant_rate.build(tmp_path_factory.mktemp("c"))


def load(
    program: Path, url: str, folder: Path, heads: bytes = HEAD, *, rate: int = 300
) -> RateResult:
    file = folder / "heads"
    file.write_bytes(heads)
    cores = os.sched_getaffinity(0)
    return constant_rate.run(program, url, file, rate=rate, seconds=1, connections=4, cores=cores)


def test_the_floor_answers_every_request_of_the_rate(program: Path, tmp_path: Path) -> None:
    with Floor(tmp_path) as floor:
        before_s = exact_cpu_s(floor.pid)
        result = load(program, floor.url, tmp_path, HEAD + CLOSING)
        assert exact_cpu_s(floor.pid) > before_s
    assert (result.requests, result.unsent, result.errors) == (300, 0, {})
    assert 0 < result.p50_ms <= result.p99_ms <= result.p999_ms <= result.max_ms
    assert result.seconds == pytest.approx(1.0, abs=0.5)
    assert (tmp_path / "floor.journal").read_bytes().startswith(HEAD)


@contextmanager
def a_server(answers: list[bytes], gate: threading.Event) -> Iterator[str]:
    """Give each request the next of `answers`, the last one repeatedly, once the gate is open.

    An empty answer closes the connection.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ends = threading.Event()

        def serve() -> None:
            while not ends.is_set():
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=answer, args=(connection,), daemon=True).start()

        def answer(connection: socket.socket) -> None:
            with connection:
                while connection.recv(1024):
                    gate.wait(10)
                    text = answers.pop(0) if len(answers) > 1 else answers[0]
                    if not text:
                        return
                    connection.sendall(text)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        ends.set()
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def test_a_stall_is_in_the_latency_of_all_that_was_due_meanwhile(
    program: Path, tmp_path: Path
) -> None:
    gate = threading.Event()
    timer = threading.Timer(0.5, gate.set)
    timer.start()
    with a_server([REDIRECT], gate) as url:
        result = load(program, url, tmp_path, rate=200)
    timer.join()
    assert (result.requests, result.errors) == (200, {})
    # A closed loop would have four late requests: those of its connections.
    assert result.p90_ms > 100.0
    assert result.late_p99_ms > 100.0


def test_what_is_no_whole_redirect_is_an_error(program: Path, tmp_path: Path) -> None:
    opened = threading.Event()
    opened.set()
    refusal = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"
    with a_server([refusal, b"", REDIRECT], opened) as url:
        result = load(program, url, tmp_path, rate=100)
    assert result.errors == {"status": 1, "read": 1}
    assert result.requests == 98


def test_a_server_that_is_not_there_is_an_error(program: Path, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    with pytest.raises(BenchError, match="Connection refused"):
        load(program, f"http://127.0.0.1:{port}", tmp_path)


def test_a_file_without_a_head_is_an_error(program: Path, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="has no head of a request"):
        load(program, "http://127.0.0.1:1", tmp_path, b"GET / HTTP/1.1\r\n")


def test_a_program_that_does_not_compile_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "broken.c"
    source.write_text("int main(void) { return nothing; }")
    with pytest.raises(BenchError, match=r"broken\.c was not compiled: .*nothing"):
        c_programs.build(source, tmp_path)
    monkeypatch.setattr(c_programs, "compiler", lambda: None)
    with pytest.raises(BenchError, match="no C compiler"):
        c_programs.build(source, tmp_path)
