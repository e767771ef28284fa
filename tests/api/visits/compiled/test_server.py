"""Whole visits: the compiled server and the one in Python send the same bytes and record the same."""

import socket
from pathlib import Path
from random import Random

import pytest

from api.visits.connection import VisitorConnection
from engine.clicks.record_items import EXPOSURES, HOST, PLACE, UTM, items
from engine.operations.settings import Settings
from engine.visits.domain_host import DomainHost
from tests.kit import visit_streams
from tests.kit.hosted import hosted_run
from tests.kit.visitor_servers import ServedEdge, get, raw_send, served_edge

pytest.importorskip("api.visits.compiled.core")
pytestmark = pytest.mark.trio(run=hosted_run)

COUNTERS = (
    "visits_by_status", "refusals_by_status", "timed_out", "errors", "unidentified", "closed", "hits",
    "previews", "files", "destinations", "connections",
)  # fmt: skip


async def answered(edge: ServedEdge, data: bytes) -> bytes:
    """Return all that a connection is answered to these bytes, when its client sends no more."""
    visitor = await edge.visitor()
    await visitor.send(data)
    await visitor.stream.send_eof()
    received = b""
    while part := await visitor.receive():
        received += part
    await visitor.stream.aclose()
    return received


async def compare(seed: int, count: int, settings: Settings, *, keyed: bool = True) -> int:
    """Send the same requests to both servers. Returns how many the core answered."""
    random = Random(seed)
    async with (
        served_edge(settings, core="compiled") as one,
        served_edge(settings, core="python", profiles=one.profiles) as two,
    ):
        await visit_streams.furnish(one)
        for edge in (one, two):
            edge.keys.known = keyed
            edge.hosts.replace({b"ada.example": DomainHost(b"shop", b"https://root.example/", b"")})
            edge.places.set_place("127.0.0.1", "DE", "Köln")
            edge.asset_files.files[visit_streams.ASSET] = visit_streams.ASSET_FILES
            edge.places.set_place("203.0.113.9", "FR")
            await edge.warm(b"/shop/plain", b"/plain", b"/@shop", b"/@lab")
            visitor = await edge.visitor()
            views = [await visitor.request(get(b"/@shop", b"Accept-Language: " + language))
                     for language in (b"de", b"en")]  # fmt: skip
            edge.journal.records.clear()
        tags = (*(view.headers["etag"].encode() for view in views), visit_streams.ASSET_TAG)
        for _ in range(count):
            data = visit_streams.requests(random, tags)
            responses = [await answered(edge, data) for edge in (one, two)]
            assert responses[0] == responses[1], data
            assert one.journal.records == two.journal.records, data
            for edge in (one, two):
                edge.wall_us += 1_000
                edge.seconds += 0.001
        for name in COUNTERS:
            assert getattr(one.server, name) == getattr(two.server, name), name
        assert one.server.asset_files.results == two.server.asset_files.results
        assert len(one.journal.records) > count / 4
        return one.server._core.answered  # type: ignore[attr-defined, no-any-return]


DIRECT = Settings(visits_per_second=0)
PROXIED = Settings(visits_per_second=3, trusted_hops=1)


@pytest.mark.parametrize(
    ("settings", "keyed"), [(DIRECT, True), (PROXIED, True), (DIRECT, False)],
    ids=["direct", "behind a proxy with a limit", "without a key"],
)  # fmt: skip
async def test_150_connections_are_answered_and_recorded_alike(
    settings: Settings, keyed: bool
) -> None:
    assert await compare(1, 150, settings, keyed=keyed) > 20


@pytest.mark.large
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("settings", [DIRECT, PROXIED], ids=["direct", "behind a proxy"])
@pytest.mark.parametrize("part", range(5))
async def test_many_connections_are_answered_and_recorded_alike(
    settings: Settings, part: int
) -> None:
    assert await compare(100 + part, 10_000, settings) > 1_000


@pytest.mark.parametrize("core", ["compiled", "python"])
async def test_each_kind_of_address_is_read_alike(core: str, tmp_path: Path) -> None:
    mapped = socket.socket(socket.AF_INET6)
    mapped.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    local = socket.socket(socket.AF_UNIX)
    for listener, address, peers in (
        (mapped, ("::", 0), {"::1", "::ffff:127.0.0.1"}),
        (local, str(tmp_path / "socket"), {""}),
    ):
        listener.bind(address)
        listener.listen()
        async with served_edge(core=core, listener=listener) as edge:
            await edge.profiles.add_profile("shop", "plain")
            await edge.warm(b"/shop/plain")
            assert {peer for peer, _ in edge.server._clients.known} <= peers
            assert len(edge.journal.clicks) == 1


async def test_a_connection_that_python_reads_keeps_its_own_bytes() -> None:
    """Connections share a parser until Python reads of them; no byte of one gets into another."""
    async with served_edge(core="compiled") as edge:
        await edge.profiles.add_profile("shop", "plain")
        await edge.warm(b"/shop/plain")
        slow, fast = await edge.visitor(), await edge.visitor()
        await slow.send(get(b"/shop/plain")[:20])
        await edge.until(lambda: edge.server.heads.kept_bytes == 20)
        for _ in range(2):
            assert (await fast.request(get(b"/shop/plain"))).status == 302
        await slow.send(get(b"/shop/plain")[20:])
        assert (await slow.response()).status == 302
        assert edge.server.heads.kept_bytes == 0


async def test_a_visit_keeps_its_profile_in_memory() -> None:
    async with served_edge(core="compiled") as edge:
        shop = await edge.profiles.add_profile("shop", "plain")
        await edge.warm(b"/shop/plain")
        actor = edge.registry.profiles[shop]
        actor.visited = False  # as the registry's sweep has it
        visitor = await edge.visitor()
        assert (await visitor.request(get(b"/shop/plain"))).status == 302
        assert edge.server._core.answered == 1  # type: ignore[attr-defined]
        assert actor.visited


async def test_a_click_of_an_experiment_is_answered_by_the_core() -> None:
    async with served_edge(core="compiled") as edge:
        await visit_streams.furnish(edge)
        await edge.warm(b"/shop/tested")
        visitor = await edge.visitor()
        agent = b"User-Agent: Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/140.0"
        answered = edge.server._core.answered  # type: ignore[attr-defined]
        response = await visitor.request(get(b"/shop/tested?utm_source=x", agent))
        assert response.location in ("https://a.example/", "https://b.example/")
        assert items(edge.journal.clicks[-1].items).keys() == {HOST, EXPOSURES, UTM}
        assert edge.server._core.answered == answered + 1  # type: ignore[attr-defined]


async def test_a_wake_up_of_both_has_one_write() -> None:
    async with served_edge(core="compiled") as edge:
        await visit_streams.furnish(edge)
        await edge.warm(b"/shop/moved", b"/shop/id")  # of which the latter is Python's
        visitors = [await edge.visitor() for _ in range(8)]
        before = edge.journal.writes
        for number, visitor in enumerate(visitors):
            raw_send(visitor, get(b"/shop/moved" if number % 2 else b"/shop/id"))
        for visitor in visitors:
            assert (await visitor.response()).status in (301, 302)
        assert edge.journal.writes == before + 1
        assert len(edge.journal.records) >= 8


@pytest.mark.parametrize("core", ["compiled", "python"])
async def test_a_connection_that_cannot_be_watched_costs_the_others_nothing(
    core: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with served_edge(core=core) as edge:
        await visit_streams.furnish(edge)
        await edge.warm(b"/shop/plain")
        register, failures = edge.server._connections.register, [OSError("no watches are left")]

        def fail_once(connection: VisitorConnection) -> None:
            if failures:
                raise failures.pop()
            register(connection)

        monkeypatch.setattr(edge.server._connections, "register", fail_once)
        first, second = await edge.visitor(), await edge.visitor()
        assert await first.is_closed()
        assert (await second.request(get(b"/shop/plain"))).status == 302
        assert (edge.server.errors, edge.server.connections) == (1, 1)
        assert edge.server._connections.shares.counts == {"127.0.0.1": 1}


async def test_connections_of_an_address_follow_the_places_that_change() -> None:
    async with served_edge(core="compiled") as edge:
        await edge.profiles.add_profile("shop", "plain")
        await edge.warm(b"/shop/plain")
        for country in ("DE", "FR"):
            edge.places.set_place("127.0.0.1", country)
            edge.server.places_changed()
            visitor = await edge.visitor()
            assert (await visitor.request(get(b"/shop/plain"))).status == 302
            assert country.encode() in items(edge.journal.clicks[-1].items)[PLACE]
