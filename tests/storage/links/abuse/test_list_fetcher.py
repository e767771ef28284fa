"""Fetches of lists over real connections: tags, redirects, bounds, and refused addresses."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpcore
import pytest
import trio

import storage.links.abuse.list_fetcher as module
from storage.links.abuse.list_fetcher import HttpListFetcher

URL = "http://lists.example/list?x=1"
LIST = b"bad.example\n"


def answer(status: str, body: bytes = b"", *fields: str) -> bytes:
    lines = [f"HTTP/1.1 {status} x", f"Content-Length: {len(body)}", *fields]
    return "\r\n".join([*lines, "", ""]).encode() + body


class ListServer:
    """A server on the loopback, which the name lists.example leads to. `answers` are by path."""

    def __init__(self, answers: dict[str, bytes]) -> None:
        self.answers = answers
        self.heads: list[str] = []
        self.port = 0
        self.addresses = ["93.184.216.34"]

    async def serve(self, stream: trio.SocketStream) -> None:
        async with stream:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                more = await stream.receive_some()
                if not more:
                    return
                head += more
            self.heads.append(head.decode())
            try:
                await stream.send_all(self.answers[head.split(b" ")[1].decode()])
            except trio.BrokenResourceError:
                pass

    async def resolve(self, host: str, port: int) -> list[str]:
        return self.addresses

    async def connect(
        self,
        address: str,
        port: int,
        timeout: float | None,  # noqa: ASYNC109
    ) -> httpcore.AsyncNetworkStream:
        return await httpcore.TrioBackend().connect_tcp("127.0.0.1", self.port)


@asynccontextmanager
async def serving(answers: dict[str, bytes]) -> AsyncIterator[tuple[ListServer, HttpListFetcher]]:
    server = ListServer(answers)
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    server.port = listener.socket.getsockname()[1]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, server.serve, [listener])
        yield server, HttpListFetcher(resolver=server.resolve, connect=server.connect)
        nursery.cancel_scope.cancel()


async def test_a_list_is_fetched_with_its_tag_and_not_again() -> None:
    answers = {"/list?x=1": answer("200", LIST, 'ETag: "1"')}
    async with serving(answers) as (server, fetcher):
        fetched = await fetcher.fetch(URL, "")
        assert (fetched.outcome, fetched.body, fetched.tag) == ("new", LIST, '"1"')
        assert "if-none-match" not in server.heads[0].lower()
        answers["/list?x=1"] = answer("304")
        assert (await fetcher.fetch(URL, '"1"')).outcome == "unchanged"
        assert 'If-None-Match: "1"' in server.heads[1]


async def test_redirects_are_followed_a_few_times_and_to_the_web_only() -> None:
    answers = {
        "/list?x=1": answer("302", b"", "Location: /b"),
        "/b": answer("301", b"", "Location: http://other.example/c"),
        "/c": answer("200", LIST),
        "/loop": answer("302", b"", "Location: /loop"),
        "/file": answer("302", b"", "Location: file:///etc/passwd"),
        "/none": answer("302", b""),
    }
    async with serving(answers) as (server, fetcher):
        assert (await fetcher.fetch(URL, "")).body == LIST
        assert "Host: other.example" in server.heads[2]
        for path, reason in (
            ("loop", "more than 3 times"), ("file", "no http or https URL"), ("none", "no http or https URL"),
        ):  # fmt: skip
            fetched = await fetcher.fetch(f"http://lists.example/{path}", "")
            assert (fetched.outcome, reason in fetched.reason) == ("failed", True), fetched


async def test_failures_are_results_with_reasons(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_LIST_BYTES", 100)
    answers = {
        "/500": answer("500"),
        "/long": answer("200", b"a" * 101),
        "/short": answer("200", LIST)[:-2],
        "/other": b"SSH-2.0-x\r\n\r\n",
        "/tag": answer("200", LIST, "ETag: " + "x" * 300),
    }
    async with serving(answers) as (server, fetcher):
        for path, reason in (
            ("500", "it answers 500"), ("long", "more than"), ("short", "HTTP/1.1"), ("other", "HTTP/1.1"),
        ):  # fmt: skip
            fetched = await fetcher.fetch(f"http://lists.example/{path}", "")
            assert (fetched.outcome, reason in fetched.reason) == ("failed", True), fetched
        assert (await fetcher.fetch("http://lists.example/tag", "")).tag == ""
        server.addresses = ["93.184.216.34", "10.0.0.1"]
        heads = len(server.heads)
        refused = await fetcher.fetch(URL, "")
        assert "not on the public internet" in refused.reason
        assert len(server.heads) == heads
    gone = await fetcher.fetch(URL, "")
    assert gone.outcome == "failed"
