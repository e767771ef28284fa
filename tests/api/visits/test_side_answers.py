"""What stands at the address of a link or page: QR codes."""

from collections.abc import AsyncIterator

import pytest

from actors.visits.qr_codes import DRAWN_FOR_CLIENT, MAX_IMAGES, MAX_WAITING
from engine.clicks.record_items import TRIGGER, Trigger, items
from engine.links.qr import QrLook, qr_image
from tests.kit.hosted import hosted_run
from tests.kit.visitor_servers import Response, ServedEdge, get, served_edge

pytestmark = pytest.mark.trio(run=hosted_run)


@pytest.fixture
async def edge() -> AsyncIterator[ServedEdge]:
    async with served_edge() as served:
        await served.profiles.add_profile("shop", "a")
        yield served


async def fetch(edge: ServedEdge, path: bytes, method: bytes = b"GET") -> Response:
    visitor = await edge.visitor()
    return await visitor.request(get(path, method=method))


async def test_a_code_stands_at_each_address_and_is_no_click(edge: ServedEdge) -> None:
    for path in (b"/a", b"/shop/a", b"/@shop", b"/SHOP/A"):
        response = await fetch(edge, path + b"/qr")
        assert (response.status, response.headers["content-type"]) == (200, "image/svg+xml")
        address = f"https://go.example{path.decode().lower()}"
        assert response.body == qr_image(address, QrLook())
        assert response.headers["content-security-policy"] == "default-src 'none'"
    png = await fetch(edge, b"/a/qr?format=png&size=100&utm_source=x")
    assert png.headers["content-type"] == "image/png"
    assert png.body == qr_image("https://go.example/a", QrLook(format="png", size=100))
    head = await fetch(edge, b"/a/qr", b"HEAD")
    assert (head.status, head.body) == (200, b"")
    assert edge.journal.records == []
    # The second spelling of a path and HEAD find what was drawn.
    assert edge.server.qr_codes.results["drawn"] == 4
    assert (await fetch(edge, b"/none/qr")).status == 404
    assert (await fetch(edge, b"/qr")).status == 404


async def test_a_scan_is_told_from_other_visits(edge: ServedEdge) -> None:
    assert (await fetch(edge, b"/a?wp_t=qr")).location == "https://a.example/"
    assert items(edge.journal.clicks[0].items)[TRIGGER] == bytes((Trigger.QR,))


async def test_a_look_that_cannot_be_is_refused_and_nothing_is_drawn(edge: ServedEdge) -> None:
    for query in (b"format=gif", b"size=1", b"dark=eeeeee", b"error=z"):
        assert (await fetch(edge, b"/a/qr?" + query)).status == 400
    assert edge.server.qr_codes.results["invalid"] == 4
    assert edge.server.qr_codes.results["drawn"] == 0


async def test_codes_are_bounded_for_a_client_and_in_memory(
    edge: ServedEdge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.visits.qr_codes.qr_image", lambda address, look: b"drawn")
    for size in range(DRAWN_FOR_CLIENT.units):
        assert (await fetch(edge, b"/a/qr?size=%d" % (64 + size))).body == b"drawn"
    assert (await fetch(edge, b"/a/qr?size=2000")).status == 429
    assert (await fetch(edge, b"/a/qr?size=64")).status == 200  # remembered
    codes = edge.server.qr_codes
    assert codes.results["limited"] == 1
    for size in range(64 + DRAWN_FOR_CLIENT.units, 64 + MAX_IMAGES + 1):
        edge.advance(1)
        assert (await fetch(edge, b"/a/qr?size=%d" % size)).status == 200
    assert codes.image((b"/a", QrLook(size=64 + MAX_IMAGES))) == b"drawn"
    assert len(codes._images) == MAX_IMAGES
    assert codes.image((b"/a", QrLook(size=65))) is None


async def test_too_many_who_wait_are_refused(edge: ServedEdge) -> None:
    codes = edge.server.qr_codes
    codes._waiting.extend([None] * MAX_WAITING)  # type: ignore[list-item]  # the task sleeps
    assert (await fetch(edge, b"/a/qr")).status == 503
    assert codes.results["refused"] == 1
    codes._waiting.clear()
    assert (await fetch(edge, b"/a/qr")).status == 200
