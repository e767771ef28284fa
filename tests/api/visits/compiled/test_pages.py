"""Views of pages, and files: what the core answers, and how it keeps what is too large for a socket."""

from collections.abc import AsyncIterator

import pytest

from actors.visits.profile_page import moment_of
from api.visits import connection_set
from engine.clicks.click import ClickKind
from engine.clicks.record_items import HOST, TRIGGER, UTM, items
from engine.operations.settings import Settings
from engine.pages.blocks import TextBlock
from engine.pages.page import BlockChange, ProfilePage, Translation
from engine.visits.domain_host import DomainHost
from tests.kit import visit_streams
from tests.kit.hosted import hosted_run
from tests.kit.visit_streams import ASSET, ASSET_FILES, ASSET_TAG
from tests.kit.visitor_servers import ServedEdge, Visitor, get, raw_send, served_edge, shop

pytest.importorskip("api.visits.compiled.core")
pytestmark = pytest.mark.trio(run=hosted_run)

AGENT = b"User-Agent: Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/140.0"


@pytest.fixture
async def edge() -> AsyncIterator[ServedEdge]:
    async with served_edge(core="compiled") as served:
        await shop(served)
        await served.warm(b"/@shop")
        served.journal.records.clear()
        yield served


def answered(edge: ServedEdge) -> int:
    """Return how many visits the core has answered."""
    return edge.server._core.answered  # type: ignore[attr-defined, no-any-return]


async def bodies(visitor: Visitor, *heads: bytes) -> list[bytes]:
    return [(await visitor.request(head)).body for head in heads]


async def test_the_core_answers_views_in_each_coding_and_of_copies_that_browsers_have(
    edge: ServedEdge,
) -> None:
    visitor, before = await edge.visitor(), answered(edge)
    codings = []
    for value in (b"gzip, deflate, br, zstd", b"gzip", b"identity"):
        response = await visitor.request(get(b"/@shop", AGENT, b"Accept-Encoding: " + value))
        codings.append(response.headers.get("content-encoding", ""))
    assert codings == ["br", "gzip", ""]
    known = b"If-None-Match: " + response.headers["etag"].encode()
    await visitor.send(get(b"/@shop", AGENT, known, b"Connection: close"))
    assert (await visitor.receive()).startswith(b"HTTP/1.1 304 ")
    assert answered(edge) == before + 4
    assert [click.kind for click in edge.journal.clicks] == [ClickKind.VIEW] * 4
    assert edge.server.visits_by_status[304] == 1


async def test_a_view_is_an_entrance_of_which_later_clicks_have_the_way(edge: ServedEdge) -> None:
    visitor, before = await edge.visitor(), answered(edge)
    await visitor.request(
        get(b"/@shop?utm_source=bio&x=1", AGENT, b"Referer: https://www.instagram.com/")
    )
    await visitor.request(get(b"/shop/a", AGENT, b"Referer: http://links.example/@shop"))
    await visitor.request(get(b"/@shop", AGENT, b"Referer: http://links.example/@shop"))
    assert answered(edge) == before + 3
    view, click, again = edge.journal.clicks
    assert view.referrer == click.referrer == again.referrer == b"https://www.instagram.com/"
    assert [items(each.items).keys() for each in (view, click, again)] == [
        {HOST, UTM}, {HOST, TRIGGER, UTM}, {HOST, TRIGGER, UTM},
    ]  # fmt: skip
    assert len(edge.registry.entrances.memory) == 1


async def test_a_page_changes_when_its_profile_does_and_when_a_block_is_due(
    edge: ServedEdge,
) -> None:
    (shop_id,) = (i for i, each in edge.registry.profiles.items() if each.handle == "shop")
    due = moment_of(edge.wall_us + 1_000)
    block = TextBlock(id="t", text="Today only", shown_until=due)
    german = Translation(language="de", blocks=(BlockChange(block="t", text="Nur heute"),))
    await edge.publish(shop_id, ProfilePage(blocks=(block,), translations=(german,)))
    visitor = await edge.visitor()
    heads = get(b"/@shop"), get(b"/@shop", b"Accept-Language: de")
    await bodies(visitor, *heads)  # rendered
    before = answered(edge)
    english, other = await bodies(visitor, *heads)
    assert b"Today only" in english
    assert b"Nur heute" in other
    assert answered(edge) == before + 2
    edge.wall_us += 1_000
    english, other = await bodies(visitor, *heads)
    assert b"Today only" not in english
    assert b"Nur heute" not in other


async def test_views_with_experiments_previews_or_repeated_fields_are_left_to_python() -> None:
    async with served_edge(core="compiled") as edge:
        await visit_streams.furnish(edge)
        visitor = await edge.visitor()
        await bodies(visitor, get(b"/@shop"), get(b"/@lab"))
        before = answered(edge)
        coding = b"Accept-Encoding: br\r\nAccept-Encoding: gzip"
        preview = b"/@shop?wp_variant=1-1-1-aaaaaaaaaaaaaaaaaaaaaa"
        await bodies(visitor, get(b"/@lab"), get(b"/@shop", coding), get(preview))
        await visitor.request(get(b"/@shop", method=b"HEAD"))
        assert answered(edge) == before
        await bodies(visitor, get(b"/@shop"))
        assert answered(edge) == before + 1


async def test_a_slow_reader_gets_the_whole_page_and_what_is_kept_for_it_is_counted() -> None:
    async with served_edge(core="compiled", send_buffer_bytes=4096) as edge:
        shop_id = await shop(edge)
        texts = [TextBlock(text=f"{number} " * 400) for number in range(45)]
        await edge.publish(shop_id, ProfilePage(blocks=tuple(texts)))
        fast = await edge.visitor()
        page = (await bodies(fast, get(b"/@shop"), get(b"/@shop")))[1]
        assert len(page) > 50_000
        before = answered(edge)
        slow = await edge.visitor(receive_buffer_bytes=4096)
        for fields in ((), (b"Connection: close",)):
            await slow.send(get(b"/@shop", *fields))
            await edge.until(lambda: edge.server.unsent_bytes > 0)
            assert edge.server.unsent_bytes < len(page) + 500
            assert (await slow.response()).body == page
            assert edge.server.unsent_bytes == 0
        assert await slow.is_closed()
        assert answered(edge) == before + 2


async def test_a_view_while_the_edge_drains_is_the_last_of_its_connection(edge: ServedEdge) -> None:
    visitor, before = await edge.visitor(), answered(edge)
    await bodies(visitor, get(b"/@shop"))
    raw_send(visitor, get(b"/@shop"))
    edge.server.drain()
    response = await visitor.response()
    assert (response.status, response.closes) == (200, True)
    assert await visitor.is_closed()
    assert answered(edge) == before + 2


async def test_the_core_answers_for_files_in_memory(edge: ServedEdge) -> None:
    edge.asset_files.files[ASSET] = ASSET_FILES
    edge.hosts.replace({b"ada.example": DomainHost(b"shop", b"", b"")})
    visitor, path = await edge.visitor(), b"/a/%b-640.avif" % ASSET.encode()
    await bodies(visitor, get(path), get(path, host=b"ada.example"))  # read, and its host known
    edge.server.asset_files.results["remembered"] = 0
    before, views = answered(edge), len(edge.journal.records)
    robots = await visitor.request(get(b"/robots.txt"))
    assert (robots.status, robots.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    for host in (b"links.example", b"ada.example"):
        assert await bodies(visitor, get(path, host=host)) == [ASSET_FILES["640.avif"]]
    await visitor.send(get(path, b"If-None-Match: " + ASSET_TAG))
    assert (await visitor.receive()).startswith(b"HTTP/1.1 304 ")
    assert answered(edge) == before + 4
    assert edge.server.asset_files.results["remembered"] == 3
    assert (await visitor.request(get(path, b"Range: bytes=0-9"))).status == 206
    edge.asset_files.files.clear()
    edge.seconds += 601
    for _ in range(2):  # read again, then remembered
        assert (await visitor.request(get(path))).status == 404
    assert answered(edge) == before + 4
    assert len(edge.journal.records) == views


async def test_files_are_charged_to_their_client() -> None:
    limited = Settings(visits_per_second=2, trusted_hops=1)
    async with served_edge(limited, core="compiled") as edge:
        edge.asset_files.files[ASSET] = ASSET_FILES
        visitor, path = await edge.visitor(), b"/a/%b-640.avif" % ASSET.encode()
        client = b"X-Forwarded-For: 203.0.113.9"
        statuses = [(await visitor.request(get(each, client))).status
                    for each in (path, path, b"/robots.txt", path)]  # fmt: skip
        assert statuses == [200, 200, 429, 429]
        assert edge.server.asset_files.results["remembered"] == 2


async def test_slow_readers_of_large_files_are_shed_beyond_the_bound_of_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection_set, "MAX_ALL_UNSENT_BYTES", 3_000_000)
    async with served_edge(core="compiled", send_buffer_bytes=4096) as edge:
        content = bytes(range(250)) * 4_000
        edge.asset_files.files[ASSET] = {"640.avif": content}
        path = b"/a/%b-640.avif" % ASSET.encode()
        await bodies(await edge.visitor(), get(path))
        visitors = [await edge.visitor(receive_buffer_bytes=4096) for _ in range(6)]
        for visitor in visitors:
            edge.seconds += 1
            await visitor.send(get(path))
            await edge.until(lambda: edge.server.unsent_bytes > 0)
        await edge.until(lambda: edge.server.responses_shed >= 3)
        assert edge.server.unsent_bytes <= 3_000_000
        assert (await visitors[-1].response()).body == content
        assert answered(edge) >= 6
        assert not edge.server.errors
