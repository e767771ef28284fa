"""A visitor server as an edge runs it, over loopback sockets: nested in the host loop, trio the guest.

Tests that use it run under `hosted_run`. Its clock is the test's: time passes by `advance`, which also sweeps,
as the edge does each second.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from struct import Struct
from typing import NamedTuple

import trio

from actors.assets.served_files import EdgeAssetFiles
from actors.visits.hosts import Hosts
from actors.visits.qr_codes import QrCodes
from actors.visits.registry import Found, Registry
from api.visits.client_resolver import ClientResolver
from api.visits.compiled.selection import select_server
from api.visits.pages.visit_responses import visit_responses
from api.visits.server import VisitorServer
from api.visits.server_hits import deliver
from engine.clicks import journal_format
from engine.clicks.click import Click
from engine.operations.settings import Settings
from engine.pages.page import ProfilePage
from engine.visits.pseudonym import Pseudonymiser
from storage.accounts.passwords import PasswordHasher
from storage.assets.memory_files import MemoryAssetFiles
from storage.links.abuse.memory_reports import MemoryReports
from storage.pages.memory_pages import MemoryPages
from storage.pages.memory_subscribers import MemorySubscribers
from storage.visits.memory_click_quotas import MemoryClickQuotas
from storage.visits.memory_geo import MemoryPlaceLookup
from tests.kit.delayed_profiles import TENANT, DelayedProfiles
from tests.kit.stores import FAST

FAIL_S = 20
HEAD_S, IDLE_S = 10.0, 65.0
FRAME_RECORDS = 64  # as of one wake-up


@dataclass
class MemoryJournal:
    """A journal in memory; `before_write` is called before each write."""

    records: list[bytes] = field(default_factory=list)
    writes: int = 0
    before_write: Callable[[], None] = lambda: None

    def append(self, records: list[bytes]) -> bool:
        self.before_write()
        self.writes += 1
        self.records += records
        return True

    @property
    def appended(self) -> int:
        return len(self.records)

    def append_frame(self, count: int, frame: bytes) -> bool:
        """Take a frame apart, which has to be valid and to continue the records."""
        head = journal_format.frame_at(frame, 0, self.appended + 1)
        assert (head.end, head.clicks) == (len(frame), count)
        sizes, split, at = Struct("<H"), [], journal_format.FRAME_BYTES
        while at < len(frame):
            (size,) = sizes.unpack_from(frame, at)
            split.append(frame[at : at + size])
            at += size
        assert len(split) == count
        return self.append(split)

    @property
    def clicks(self) -> list[Click]:
        batches = (
            self.records[i : i + FRAME_RECORDS] for i in range(0, len(self.records), FRAME_RECORDS)
        )
        frames = (journal_format.encode_frame(1, batch) for batch in batches)
        return [click for frame in frames for click in journal_format.clicks(frame)]


class DayNumberKeys:
    """A daily key for each day, or for none."""

    def __init__(self) -> None:
        self.known = True

    def pseudonymiser(self, day: int) -> Pseudonymiser | None:
        return Pseudonymiser(day.to_bytes(32)) if self.known else None


class Response(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def location(self) -> str:
        return self.headers.get("location", "")

    @property
    def closes(self) -> bool:
        return self.headers.get("connection") == "close"


class Visitor:
    """The other end of a connection."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._data = b""

    async def send(self, data: bytes) -> None:
        await self.stream.send_all(data)

    async def response(self, *, head: bool = False) -> Response:
        """Receive the next response; `head` when it is for a HEAD, which has no body."""
        while b"\r\n\r\n" not in self._data:
            await self._receive_more()
        text, _, self._data = self._data.partition(b"\r\n\r\n")
        line, *fields = text.decode("ascii").split("\r\n")
        headers = {n.lower(): v for n, _, v in (field.partition(": ") for field in fields)}
        length = 0 if head else int(headers["content-length"])
        while len(self._data) < length:
            await self._receive_more()
        body, self._data = self._data[:length], self._data[length:]
        assert line.startswith("HTTP/1.1 ")
        return Response(int(line.split(" ")[1]), headers, body)

    async def request(self, data: bytes) -> Response:
        await self.send(data)
        return await self.response(head=data.startswith(b"HEAD"))

    async def is_closed(self) -> bool:
        """Wait for the next bytes: True for an orderly end, False if there are any."""
        return not self._data and await self.receive() == b""

    async def is_reset(self) -> bool:
        """Receive all remaining bytes. Returns whether a reset ended them."""
        try:
            while await self.stream.receive_some(65_536):
                pass
        except trio.BrokenResourceError:
            return True
        return False

    async def ends(self) -> bool:
        """Close the sending side. Returns whether the server then closes its own."""
        await self.stream.send_eof()
        return await self.is_closed()

    async def _receive_more(self) -> None:
        data = await self.receive()
        assert data, f"closed amid a response: {self._data!r}"
        self._data += data

    async def receive(self) -> bytes:
        """Receive some bytes; none if the server has ended."""
        with trio.fail_after(FAIL_S):
            return bytes(await self.stream.receive_some(65_536))


class ServedEdge:
    """An edge: its visitor server, registry, journal and clock."""

    def __init__(
        self,
        limits: Settings,
        send_buffer_bytes: int | None,
        core: str,
        profiles: DelayedProfiles | None = None,
        listener: socket.socket | None = None,
    ) -> None:
        listener = listener or socket.create_server(("127.0.0.1", 0))
        if send_buffer_bytes:  # inherited by accepted sockets
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer_bytes)
        self.listener = listener
        self.profiles = profiles or DelayedProfiles()
        self.pages = MemoryPages(self.profiles)
        self.subscribers = MemorySubscribers(self.profiles)
        self.reports = MemoryReports(self.profiles)
        self.journal = MemoryJournal()
        self.places = MemoryPlaceLookup()
        self.keys = DayNumberKeys()
        self.seconds = 1000.0
        self.wall_us = 1_767_225_600_000_000  # a midnight in UTC
        self.registry = Registry(
            self.profiles,
            visit_responses("http://links.example"),
            max_links=limits.max_resident_links,
            max_unknown=limits.max_unknown_paths,
        )
        self.hosts = Hosts(b"links.example")
        self.asset_files = MemoryAssetFiles()
        self.server: VisitorServer = select_server(core).server(
            listener, self.registry, self.journal, limits,
            ClientResolver(self.places.place, limits.trusted_hops), self.keys,
            QrCodes("https://go.example", lambda: self.seconds),
            clock_us=lambda: self.wall_us, monotonic=lambda: self.seconds,
        )  # fmt: skip
        self.server.hosts = self.hosts
        self.server.asset_files = EdgeAssetFiles(self.asset_files, lambda: self.seconds)
        self._streams: list[trio.SocketStream] = []

    def advance(self, seconds: float) -> None:
        self.seconds += seconds
        self.server.sweep()

    async def visitor(
        self, address: str = "127.0.0.1", *, receive_buffer_bytes: int | None = None
    ) -> Visitor:
        """Connect from an address of this machine."""
        sock = trio.socket.socket(self.listener.family)
        if self.listener.family == socket.AF_INET:
            await sock.bind((address, 0))
        if receive_buffer_bytes:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        await sock.connect(self.listener.getsockname())
        stream = trio.SocketStream(sock)
        self._streams.append(stream)
        return Visitor(stream)

    async def publish(self, profile_id: int, page: ProfilePage) -> None:
        """Publish a page, and let the edge know if it has the profile."""
        await self.pages.put_draft(TENANT, profile_id, page)
        _, change = await self.pages.publish(TENANT, profile_id)
        self.registry.changed([change])
        actor = self.registry.profiles.get(profile_id)
        await self.until(lambda: actor is None or actor.version >= change.version)

    async def warm(self, *paths: bytes) -> None:
        """Have the profiles of these paths loaded."""
        visitor = await self.visitor()
        for path in paths:
            assert (await visitor.request(get(path))).status != 503
        assert await visitor.ends()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for a state that no byte on the wire announces."""
        with trio.fail_after(FAIL_S):
            while not condition():  # noqa: ASYNC110  # nothing announces it
                await trio.sleep(0.002)

    def deliver(self, results: list[Found], available: bool) -> None:
        """Hand routes to visitors and to hits of servers, as an edge does."""
        deliver(results, available, self.server.deliver)

    async def close(self) -> None:
        for stream in self._streams:
            await stream.aclose()
        self.server.close()
        self.listener.close()


@asynccontextmanager
async def served_edge(
    limits: Settings | None = None,
    *,
    send_buffer_bytes: int | None = None,
    core: str = os.environ.get("WAYPOST_VISITOR_CORE", "auto"),
    profiles: DelayedProfiles | None = None,
    listener: socket.socket | None = None,
) -> AsyncIterator[ServedEdge]:
    """Serve an edge with its finder and one task of its dispatcher; nothing is left of it afterwards.

    `core` is as WAYPOST_VISITOR_CORE has it; by default, all tests run over that one. `profiles`: those of
    another edge.
    """
    limits = limits or Settings(
        head_timeout_ms=int(HEAD_S * 1000), idle_timeout_ms=int(IDLE_S * 1000)
    )
    edge = ServedEdge(limits, send_buffer_bytes, core, profiles, listener)
    loop = asyncio.get_running_loop()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(edge.registry.find, edge.deliver))
        nursery.start_soon(edge.registry.dispatcher.run_one)
        quotas = MemoryClickQuotas(edge.profiles.click_limit)
        nursery.start_soon(edge.registry.gate_parts.click_quotas.run, quotas, edge.server.deliver)
        nursery.start_soon(edge.registry.page_renders.run, edge.server.deliver)
        subscribe = edge.registry.subscriptions.run
        nursery.start_soon(subscribe, edge.subscribers, edge.server.deliver)
        nursery.start_soon(edge.registry.reports.run, edge.reports, edge.server.deliver)
        nursery.start_soon(edge.server.qr_codes.run, edge.server.deliver)
        nursery.start_soon(edge.server.asset_files.run, edge.server.deliver)
        checks = edge.registry.gate_parts.password_checks
        nursery.start_soon(checks.run, PasswordHasher(FAST).check, edge.server.deliver)
        loop.add_reader(edge.server.descriptor, edge.server.on_readable)
        try:
            yield edge
        finally:
            loop.remove_reader(edge.server.descriptor)
            with trio.CancelScope(shield=True):
                await edge.close()
            nursery.cancel_scope.cancel()


def get(
    path: bytes,
    *fields: bytes,
    method: bytes = b"GET",
    version: bytes = b"1.1",
    host: bytes = b"links.example",
) -> bytes:
    """Return a request's head."""
    lines = [b"%s %s HTTP/%s" % (method, path, version), b"Host: %s" % host, *fields]
    return b"\r\n".join(lines) + b"\r\n\r\n"


async def shop(edge: ServedEdge, links: int = 2) -> int:
    """Add a resident profile `shop`, with the links `a`, `b`, ..., and a cold one, `far`. Returns shop's id."""
    profile_id = await edge.profiles.add_profile("shop", *"abcdefgh"[:links])
    await edge.profiles.add_profile("far", "x", "y")
    await edge.warm(b"/shop/a")
    return profile_id


def unfinished(edge: ServedEdge) -> int:
    """Return how many connections have an unfinished head."""
    return sum(c.parser.unfinished for c in edge.server._connections.by_descriptor.values())


def raw_send(visitor: Visitor, data: bytes) -> None:
    """Put bytes on the wire without letting the server's loop turn."""
    sock = socket.socket(fileno=visitor.stream.socket.fileno())
    try:
        sock.send(data)
    finally:
        sock.detach()
