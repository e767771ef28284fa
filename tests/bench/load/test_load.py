"""What the load notes of a server that goes: connections refused, and requests lost with theirs."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.kit.request_account import RequestAccount
from bench.load.load import LoadPlan, LoadSender

REDIRECT = b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"


@contextmanager
def serving(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """Run `serve(listener)` in a thread. Yields the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        yield listener.getsockname()[1]
        thread.join(10)


def sent_by_load(tmp_path: Path, port: int, requests: int, *, fresh: bool) -> RequestAccount:
    account = RequestAccount(tmp_path / "account", make=True)
    paths = [f"/{number}" for number in range(requests)]
    plan = LoadPlan(
        host="127.0.0.1", port=port, paths=paths, connections=1, rate=200, fresh=fresh, once=True
    )
    LoadSender(plan, account).run()
    return account


def test_each_fresh_request_has_a_connection_of_its_own(tmp_path: Path) -> None:
    def serve(listener: socket.socket) -> None:
        for _ in range(3):
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(REDIRECT)

    with serving(serve) as port:
        account = sent_by_load(tmp_path, port, 3, fresh=True)
    assert (account.sent, account.answered) == (3, 3)
    assert account.failed_connections == account.lost_first == account.lost_later == 0


def test_a_lost_request_is_noted_as_the_first_of_its_connection_or_a_later_one(
    tmp_path: Path,
) -> None:
    def serve(listener: socket.socket) -> None:
        for answers in (1, 0, 1):
            connection, _ = listener.accept()
            with connection:
                for _ in range(answers):
                    connection.recv(4096)
                    connection.sendall(REDIRECT)
                connection.recv(4096)

    with serving(serve) as port:
        account = sent_by_load(tmp_path, port, 4, fresh=False)
    assert (account.sent, account.answered) == (4, 2)
    assert (account.lost_first, account.lost_later) == (1, 1)
    assert account.failed_connections == 0


def test_a_refused_connection_is_noted(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    account = sent_by_load(tmp_path, port, 2, fresh=True)
    assert (account.sent, account.answered, account.failed_connections) == (2, 0, 2)
