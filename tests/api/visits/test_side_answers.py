"""What stands at the address of a link or page: QR codes, cards, and where it leads."""

from collections.abc import AsyncIterator

import pytest

from actors.visits.qr_codes import DRAWN_FOR_CLIENT, MAX_IMAGES, MAX_WAITING
from engine.clicks.click import CLASS_MASK, VisitorClass
from engine.clicks.record_items import TRIGGER, Trigger, items
from engine.links.codes.qr import QrLook, qr_image
from engine.links.preview_card import PreviewCard
from engine.links.rules import LinkRule, RuleConditions
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


async def test_plus_says_where_a_link_leads_and_counts_nothing(edge: ServedEdge) -> None:
    profile_id = await edge.profiles.add_profile("b")
    evil = "https://x.example/?q=%22%3E&a=1&b='"
    rules = (LinkRule(when=RuleConditions(device=("phone",)), target="https://p.example/"),)
    await edge.profiles.add_link(profile_id, "evil", evil, title="A <b>title</b>")
    await edge.profiles.add_link(profile_id, "ruled", rules=rules)
    await edge.profiles.add_link(profile_id, "limited", click_limit=1)
    await edge.profiles.add_link(profile_id, "closed", paused=True)
    page = await fetch(edge, b"/evil+")
    assert page.status == 200
    assert b"A &lt;b&gt;title&lt;/b&gt;" in page.body
    assert b'href="https://x.example/?q=%22%3E&amp;a=1&amp;b=&#x27;"' in page.body
    assert page.headers["x-robots-tag"] == "noindex"
    assert b"Some visitors are led elsewhere" in (await fetch(edge, b"/b/ruled+")).body
    assert b"limited.example" not in (await fetch(edge, b"/limited+")).body
    assert (await fetch(edge, b"/closed+")).status == 404
    assert (await fetch(edge, b"/@b+")).status == 404
    assert (await fetch(edge, b"/none+")).status == 404
    assert (edge.journal.records, edge.server.destinations) == ([], 3)


async def test_messengers_get_a_card_and_people_the_redirect(edge: ServedEdge) -> None:
    profile_id = await edge.profiles.add_profile("b")
    card = PreviewCard(title='"Spring" <1>', text="All of it", image="https://b.example/i.png")
    await edge.profiles.add_link(profile_id, "card", preview=card, click_limit=1)
    await edge.profiles.add_link(profile_id, "off", preview=card, paused=True)
    messenger = b"User-Agent: WhatsApp/2.23.20.0"
    visitor = await edge.visitor()
    shown = await visitor.request(get(b"/card", messenger))
    assert (shown.status, shown.location) == (200, "")
    assert b'<meta property="og:title" content="&quot;Spring&quot; &lt;1&gt;">' in shown.body
    assert b'<meta property="og:image" content="https://b.example/i.png">' in shown.body
    assert (await visitor.request(get(b"/off", messenger))).status == 404
    people = await visitor.request(get(b"/card", b"User-Agent: curl/8.5"))
    assert (people.status, people.location) == (302, "https://card.example/")
    classes = [click.classification & CLASS_MASK for click in edge.journal.clicks]
    assert classes == [VisitorClass.PREVIEW, VisitorClass.TOOL]
    assert (edge.server.previews, edge.server.closed) == (1, 1)


async def test_punctuation_behind_an_address_is_forgiven_once(edge: ServedEdge) -> None:
    for added in (b".", b",", b")", b"%20", b"%22", b"%E2%80%8B", b").%22"):
        response = await fetch(edge, b"/shop/a" + added)
        assert (response.status, response.location) == (302, "https://a.example/"), added
    queries = len(edge.profiles.queries)
    assert (await fetch(edge, b"/none.")).status == 404
    assert (await fetch(edge, b"/none.")).status == 404
    assert (
        len(edge.profiles.queries) - queries == 2
    )  # as it came, and as it was meant; then neither
