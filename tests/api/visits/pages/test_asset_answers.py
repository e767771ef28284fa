"""Files of assets at the visitors' server: cached for ever, in ranges, and read off the hot path."""

from collections.abc import AsyncIterator

import pytest

import api.visits.connection_set as connection_set
from engine.assets.address import rendition_path
from engine.visits.domain_host import DomainHost
from tests.kit.hosted import hosted_run
from tests.kit.visitor_servers import ServedEdge, get, served_edge

pytestmark = pytest.mark.trio(run=hosted_run)
HASH = "0123456789abcdef" * 2
FILE = rendition_path(HASH, 640, "avif").encode()
CONTENT = bytes(range(256)) * 400


@pytest.fixture
async def edge() -> AsyncIterator[ServedEdge]:
    async with served_edge() as served:
        served.asset_files.files[HASH] = {
            "640.avif": CONTENT,
            "main.jpg": b"JPEG",
            "card.png": b"PNG",
        }
        yield served


async def test_a_file_is_sent_whole_with_its_type_and_may_be_kept_for_ever(
    edge: ServedEdge,
) -> None:
    visitor = await edge.visitor()
    for _ in range(2):  # read, then remembered
        response = await visitor.request(get(FILE))
        assert (response.status, response.body) == (200, CONTENT)
        assert response.headers["content-type"] == "image/avif"
        assert "immutable" in response.headers["cache-control"]
        assert response.headers["x-content-type-options"] == "nosniff"
    main = await visitor.request(get(b"/a/" + HASH.encode()))
    assert (main.body, main.headers["content-type"]) == (b"JPEG", "image/jpeg")
    card = await visitor.request(get(b"/a/%b.png" % HASH.encode()))
    assert (card.body, card.headers["content-type"]) == (b"PNG", "image/png")
    head = await visitor.request(get(FILE, method=b"HEAD"))
    assert (head.status, head.headers["content-length"]) == (200, str(len(CONTENT)))
    assert edge.server.asset_files.results["read"] == 3
    assert edge.journal.records == []


async def test_what_a_visitor_has_already_is_not_sent_again(edge: ServedEdge) -> None:
    visitor = await edge.visitor()
    tag = (await visitor.request(get(FILE))).headers["etag"]
    await visitor.send(get(FILE, b"If-None-Match: W/" + tag.encode()))
    assert (await visitor.response(head=True)).status == 304
    other = await visitor.request(get(FILE, b'If-None-Match: "x"'))
    assert other.status == 200


async def test_ranges_of_a_file(edge: ServedEdge) -> None:
    visitor = await edge.visitor()
    part = await visitor.request(get(FILE, b"Range: bytes=100-199"))
    assert (part.status, part.body) == (206, CONTENT[100:200])
    assert part.headers["content-range"] == f"bytes 100-199/{len(CONTENT)}"
    behind = await visitor.request(get(FILE, b"Range: bytes=999999-"))
    assert (behind.status, behind.headers["content-range"]) == (416, f"bytes */{len(CONTENT)}")
    for fields in ((b"Range: bytes=1-2,4-5",), (b"Range: bytes=1-2", b'If-Range: "x"')):
        assert (await visitor.request(get(FILE, *fields))).status == 200


async def test_what_is_no_file_is_404_and_asks_for_the_link_a_once(edge: ServedEdge) -> None:
    visitor = await edge.visitor()
    missing = rendition_path("f" * 32, 640, "avif").encode()
    for path in (missing, missing, b"/a/x", b"/a/", b"/a/%b-640.svg" % HASH.encode()):
        assert (await visitor.request(get(path))).status == 404, path
    assert edge.server.asset_files.results["read"] == 1
    assert [paths for _, paths in edge.profiles.queries] == [[b"/a"]]


async def test_the_link_a_keeps_what_stands_at_its_address(edge: ServedEdge) -> None:
    profile_id = await edge.profiles.add_profile("shop")
    await edge.profiles.add_link(profile_id, "a", "https://a.example", extra_path=True)
    visitor = await edge.visitor()
    assert (await visitor.request(get(b"/a/qr"))).headers["content-type"] == "image/svg+xml"
    assert (await visitor.request(get(b"/a/pixel.gif"))).status == 200
    assert (await visitor.request(get(b"/a/x/y"))).location == "https://a.example/x/y"
    assert (await visitor.request(get(b"/a/"))).location == "https://a.example"
    assert (await visitor.request(get(FILE))).body == CONTENT


async def test_many_visitors_of_a_cold_file_wait_for_one_read(edge: ServedEdge) -> None:
    visitors = [await edge.visitor() for _ in range(5)]
    for visitor in visitors:
        await visitor.send(get(FILE))
    for visitor in visitors:
        assert (await visitor.response()).body == CONTENT
    assert edge.server.asset_files.results["read"] == 1


async def test_a_deleted_file_is_remembered_for_a_while_and_one_whose_store_is_away_longer(
    edge: ServedEdge,
) -> None:
    visitor = await edge.visitor()
    assert (await visitor.request(get(FILE))).status == 200
    edge.asset_files.away = True
    edge.seconds += 601
    assert (await visitor.request(get(FILE))).status == 200
    cold = rendition_path("e" * 32, 640, "avif").encode()
    assert (await visitor.request(get(cold))).status == 503
    edge.asset_files.away = False
    edge.asset_files.files.clear()
    edge.seconds += 11
    assert (await visitor.request(get(FILE))).status == 404


async def test_visitors_who_take_no_files_use_a_bounded_amount_of_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection_set, "MAX_ALL_UNSENT_BYTES", 3_000_000)
    async with served_edge(send_buffer_bytes=4096) as edge:
        edge.asset_files.files[HASH] = {"640.avif": bytes(1_000_000)}
        visitors = []
        for _ in range(6):
            edge.seconds += 1
            visitor = await edge.visitor(receive_buffer_bytes=4096)
            await visitor.send(get(FILE))
            visitors.append(visitor)
            await edge.until(lambda: edge.server.unsent_bytes > 0)
        await edge.until(lambda: edge.server.responses_shed >= 3)
        assert edge.server.unsent_bytes <= 3_000_000
        assert (await visitors[-1].response()).status == 200
        assert not edge.server.errors


async def test_files_answer_on_a_profiles_own_domain(edge: ServedEdge) -> None:
    edge.hosts.domains[b"ada.example"] = DomainHost(b"ada", b"", b"")
    visitor = await edge.visitor()
    assert (await visitor.request(get(FILE, host=b"ada.example"))).status == 200


async def test_a_client_has_a_bounded_number_of_files_that_must_be_read(
    edge: ServedEdge, monkeypatch: pytest.MonkeyPatch
) -> None:
    visitor = await edge.visitor()
    assert (await visitor.request(get(FILE))).status == 200
    statuses = {
        (await visitor.request(get(rendition_path(f"{n:032x}", 640, "avif").encode()))).status
        for n in range(650)
    }
    assert statuses == {404, 429}
    assert (await visitor.request(get(FILE))).status == 200
