"""Links with options at the visitor server: when they are closed, and where they lead."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from engine.links.options import Utm
from engine.links.preview_card import PreviewCard
from engine.links.rules import LinkRule, RuleConditions
from engine.links.target import MAX_TARGET_CHARS
from engine.pages.page import ProfilePage
from engine.pages.sharing.card import PageLook, link_card
from storage.accounts.passwords import PasswordHasher
from tests.kit.delayed_profiles import TENANT
from tests.kit.hosted import hosted_run
from tests.kit.stores import FAST
from tests.kit.visitor_servers import Response, ServedEdge, get, served_edge

pytestmark = pytest.mark.trio(run=hosted_run)

PHONE = (
    b"User-Agent: Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like "
    b"Gecko) Version/17.5 Mobile/15E148 Safari/604.1"
)


@pytest.fixture
async def edge() -> AsyncIterator[ServedEdge]:
    async with served_edge() as served:
        yield served


async def visit(edge: ServedEdge, path: bytes, *headers: bytes, method: bytes = b"GET") -> Response:
    visitor = await edge.visitor()
    return await visitor.request(get(path, *headers, method=method))


def now(edge: ServedEdge) -> datetime:
    return datetime.fromtimestamp(edge.wall_us / 1_000_000, UTC)


async def test_a_paused_link_leads_to_its_fallback_or_nowhere(edge: ServedEdge) -> None:
    profile_id = await edge.profiles.add_profile("shop")
    await edge.profiles.add_link(profile_id, "a", paused=True)
    await edge.profiles.add_link(
        profile_id, "b", paused=True, status=301, fallback_target="https://later.example/"
    )
    assert (await visit(edge, b"/a")).status == 404
    assert (await visit(edge, b"/a", method=b"HEAD")).status == 404
    response = await visit(edge, b"/b")
    assert (response.status, response.location) == (302, "https://later.example/")
    assert edge.journal.clicks == []
    assert edge.server.closed == 3


async def test_a_link_opens_and_ends_at_its_times(edge: ServedEdge) -> None:
    profile_id = await edge.profiles.add_profile("shop")
    begin, end = now(edge) + timedelta(seconds=5), now(edge) + timedelta(seconds=10)
    await edge.profiles.add_link(profile_id, "a", active_from=begin, active_until=end)
    assert (await visit(edge, b"/a")).status == 404
    edge.wall_us += 5_000_000
    assert (await visit(edge, b"/a")).status == 302
    edge.wall_us += 5_000_000
    response = await visit(edge, b"/a")
    assert response.status == 410
    assert b"This link is over" in response.body
    assert len(edge.journal.clicks) == 1


async def test_a_quarantined_link_warns_and_names_the_host(edge: ServedEdge) -> None:
    profile_id = await edge.profiles.add_profile("shop")
    target = "https://evil.example/?q=1&x='\"%3Cb%3E"
    rules = (LinkRule(when=RuleConditions(device=("phone",)), target="https://phone.example/"),)
    await edge.profiles.add_link(profile_id, "a", target=target, quarantined=True, rules=rules)
    await edge.profiles.add_link(
        profile_id, "mail", kind="mailto", target="mailto:a@evil.example", quarantined=True
    )
    for headers in ((), (PHONE,)):
        response = await visit(edge, b"/a", *headers)
        assert response.status == 200
        assert "location" not in response.headers
        assert b"<strong>evil.example</strong>" in response.body
        assert b'href="https://evil.example/?q=1&amp;x=&#x27;&quot;%3Cb%3E"' in response.body
        assert response.headers["x-robots-tag"] == "noindex"
        assert "no-store" in response.headers["cache-control"]
    assert b"mailto:a@evil.example</strong>" in (await visit(edge, b"/mail")).body
    assert (await visit(edge, b"/a", method=b"HEAD")).body == b""
    assert edge.journal.clicks == []
    assert edge.server.closed == 4


async def test_a_quarantined_link_keeps_its_target_behind_its_password_and_pause(
    edge: ServedEdge,
) -> None:
    profile_id = await edge.profiles.add_profile("shop")
    password = await PasswordHasher(FAST).hash("secret")
    target = "https://evil.example/"
    await edge.profiles.add_link(
        profile_id, "a", target=target, quarantined=True, password=password
    )
    await edge.profiles.add_link(profile_id, "b", target=target, quarantined=True, paused=True)
    response = await visit(edge, b"/a")
    assert b"evil.example" not in response.body
    assert b"<form" in response.body
    assert (await visit(edge, b"/b")).status == 404
    fallback = {"fallback_target": target, "quarantined": True, "paused": True}
    await edge.profiles.add_link(profile_id, "c", target="https://good.example/", **fallback)
    response = await visit(edge, b"/c")
    assert (response.status, response.location) == (404, "")


async def test_rules_choose_the_target(edge: ServedEdge) -> None:
    profile_id = await edge.profiles.add_profile("shop")
    rules = (
        LinkRule(when=RuleConditions(device=("phone",)), target="https://phone.example/?a=1"),
        LinkRule(when=RuleConditions(query={"x": ("1",)}), target="https://x.example/"),
    )
    await edge.profiles.add_link(
        profile_id, "a", rules=rules, passthrough=True, utm=Utm(source="bio"), noindex=True
    )
    for path, headers, location in (
        (b"/a", (), "https://a.example/?utm_source=bio"),
        (b"/a", (PHONE,), "https://phone.example/?a=1&utm_source=bio"),
        (b"/a?x=1", (), "https://x.example/?utm_source=bio&x=1"),
        (b"/a?x=1", (PHONE,), "https://phone.example/?a=1&utm_source=bio&x=1"),
    ):
        response = await visit(edge, path, *headers)
        assert (response.status, response.location) == (302, location)
        assert response.headers["x-robots-tag"] == "noindex"
    assert len(edge.journal.clicks) == 4


async def test_an_app_link_leads_phones_to_the_app_and_all_others_to_the_web(
    edge: ServedEdge,
) -> None:
    profile_id = await edge.profiles.add_profile("shop")
    rules = (LinkRule(when=RuleConditions(query={"x": ()}), target="https://x.example/"),)
    await edge.profiles.add_link(
        profile_id, "a", "spotify:album:1", kind="app", web_target="https://web.example/",
        rules=rules, utm=Utm(source="bio"), passthrough=True,
    )  # fmt: skip
    bot = b"User-Agent: Twitterbot/1.0"
    for path, headers, location in (
        (b"/a", (PHONE,), "spotify:album:1"),
        (b"/a", (), "https://web.example/?utm_source=bio"),
        (b"/a", (bot,), "https://web.example/?utm_source=bio"),
        (b"/a?y=1", (), "https://web.example/?utm_source=bio&y=1"),
        (b"/a?x=1", (PHONE,), "https://x.example/?utm_source=bio&x=1"),
    ):
        response = await visit(edge, path, *headers)
        assert (response.status, response.location) == (302, location)
    assert b"Some visitors are led elsewhere" in (await visit(edge, b"/a+")).body
    assert len(edge.journal.clicks) == 5


async def test_the_largest_target_reaches_the_visitor(edge: ServedEdge) -> None:
    profile_id = await edge.profiles.add_profile("shop")
    target = f"https://a.example/{'x' * (MAX_TARGET_CHARS - 18)}"
    await edge.profiles.add_link(profile_id, "a", target, passthrough=True)
    visitor = await edge.visitor()
    assert (await visitor.request(get(b"/a"))).location == target
    assert (await visitor.request(get(b"/a?y=1"))).location == f"{target}?y=1"
    await visitor.send(get(b"/a") * 8)
    for _ in range(8):
        assert (await visitor.response()).location == target


async def test_campaign_parameters_are_added_once(edge: ServedEdge) -> None:
    profile_id = await edge.profiles.add_profile("shop")
    utm = Utm(source="bio", campaign="Spring & more")
    targets = {
        "a": (
            "https://a.example/?UTM_Source=own#x",
            "?UTM_Source=own&utm_campaign=Spring+%26+more#x",
        ),
        "b": ("https://a.example/", "?utm_source=bio&utm_campaign=Spring+%26+more"),
    }
    for slug, (target, _) in targets.items():
        await edge.profiles.add_link(profile_id, slug, target, utm=utm)
    await edge.profiles.add_link(profile_id, "c", "mailto:a@b.example", kind="mailto", utm=utm)
    for slug, (_, expected) in targets.items():
        response = await visit(edge, b"/" + slug.encode())
        assert response.location == f"https://a.example/{expected}"
    assert (await visit(edge, b"/c")).location == "mailto:a@b.example"


async def test_a_hidden_link_is_not_on_the_page(edge: ServedEdge) -> None:
    profile_id = await edge.profiles.add_profile("shop", "seen")
    await edge.profiles.add_link(profile_id, "unseen", hidden=True)
    page = (await visit(edge, b"/@shop")).body
    assert b"/shop/seen" in page
    assert b"unseen" not in page
    assert (await visit(edge, b"/unseen")).status == 302


async def test_a_limit_of_one_passes_one_visitor(edge: ServedEdge) -> None:
    profile_id = await edge.profiles.add_profile("shop")
    await edge.profiles.add_link(profile_id, "once", click_limit=1)
    assert (await visit(edge, b"/once", method=b"HEAD")).status == 302
    preview = await visit(edge, b"/once", b"User-Agent: WhatsApp/2.23.20.0")
    assert preview.status == 404
    visitors = [await edge.visitor() for _ in range(5)]
    for visitor in visitors:
        await visitor.send(get(b"/once"))
    statuses = [(await visitor.response()).status for visitor in visitors]
    assert sorted(statuses) == [302, 410, 410, 410, 410]
    assert [click.classification & 7 for click in edge.journal.clicks if click].count(5) == 1
    assert len(edge.journal.clicks) == 2  # one is of the HEAD, which counts for nothing
    assert (await visit(edge, b"/once")).status == 410
    told = await visit(edge, b"/once", method=b"HEAD")
    assert (told.status, told.location) == (410, "")


def password_form(path: bytes, body: bytes, *headers: bytes) -> bytes:
    length = b"Content-Length: %d" % len(body)
    type_ = b"Content-Type: application/x-www-form-urlencoded"
    return get(path, type_, length, *headers, method=b"POST") + body


async def protected(edge: ServedEdge, **fields: object) -> None:
    profile_id = await edge.profiles.add_profile("shop", "open")
    hashed = await PasswordHasher(FAST).hash("open sesame")
    await edge.profiles.add_link(profile_id, "cave", "", password=hashed, status=301, **fields)


async def post(edge: ServedEdge, path: bytes, body: bytes, *headers: bytes) -> Response:
    visitor = await edge.visitor()
    response = await visitor.request(password_form(path, body, *headers))
    assert response.closes
    return response


async def test_a_protected_link_asks_for_its_password(edge: ServedEdge) -> None:
    await protected(edge)
    asked = await visit(edge, b"/cave")
    assert (asked.status, asked.headers["cache-control"]) == (200, "no-store")
    assert b"<form method=post>" in asked.body
    assert b"cave.example" not in asked.body
    assert "form-action" not in asked.headers["content-security-policy"]
    wrong = await post(edge, b"/cave", b"password=open+barley")
    assert wrong.status == 403
    assert b"not the right one" in wrong.body
    assert edge.journal.clicks == []
    right = await post(edge, b"/shop/cave", b"password=open%20sesame")
    assert (right.status, right.location) == (303, "https://cave.example/")
    assert len(edge.journal.clicks) == 1
    for body in (b"", b"x=1", b"password=open+sesame&password=x", b"&".join([b"a"] * 50)):
        assert (await post(edge, b"/cave", body or b"=")).status == 403


async def test_a_form_that_nothing_asked_for_is_refused(edge: ServedEdge) -> None:
    await protected(edge)
    for path in (b"/open", b"/@shop", b"/shop/open"):
        assert (await post(edge, path, b"password=x")).status == 405
    assert (await post(edge, b"/none", b"password=x")).status == 404
    assert edge.journal.clicks == []


async def test_attempts_are_limited(edge: ServedEdge) -> None:
    await protected(edge)
    statuses = [(await post(edge, b"/cave", b"password=%d" % n)).status for n in range(11)]
    assert statuses == [403] * 10 + [429]
    assert (await post(edge, b"/cave", b"password=open+sesame")).status == 429


async def test_a_password_and_a_limit_go_together(edge: ServedEdge) -> None:
    await protected(edge, click_limit=1)
    assert (await visit(edge, b"/cave")).status == 200
    assert (await post(edge, b"/cave", b"password=no")).status == 403
    assert (await post(edge, b"/cave", b"password=open+sesame")).status == 303
    assert (await post(edge, b"/cave", b"password=open+sesame")).status == 410


async def test_bytes_behind_a_form_are_no_request(edge: ServedEdge) -> None:
    await protected(edge)
    visitor = await edge.visitor()
    await visitor.send(password_form(b"/cave", b"password=open+sesame") + get(b"/open"))
    assert (await visitor.response()).status == 303
    assert await visitor.is_closed()
    assert len(edge.journal.clicks) == 1


async def test_a_card_without_an_image_has_the_one_that_is_drawn_in_the_look_of_the_page(
    edge: ServedEdge,
) -> None:
    profile_id = await edge.profiles.add_profile("shop")
    link, _ = await edge.profiles.add_link(profile_id, "a", preview=PreviewCard(title="Cave"))
    image = "https://shop.example/a.png"
    await edge.profiles.add_link(profile_id, "own", preview=PreviewCard(image=image))

    async def shown(path: bytes) -> str:
        body = (await visit(edge, path, b"User-Agent: WhatsApp/2.23.20.0")).body.decode()
        (url,) = re.findall('property="og:image" content="([^"]+)"', body)
        return str(url)

    for look in (PageLook(), PageLook(theme="night")):
        if look.theme == "night":
            await edge.publish(profile_id, ProfilePage(theme="night"))
        card = link_card(TENANT.tenant_id, link.id, "shop/a", "Cave", link.target, look)
        assert await shown(b"/shop/a") == f"http://links.example/a/{card.hash}.png"
    assert await shown(b"/own") == image


async def test_no_card_tells_where_a_secret_link_leads(edge: ServedEdge) -> None:
    await protected(edge, preview=PreviewCard(title="Cave"))
    response = await visit(edge, b"/cave", b"User-Agent: WhatsApp/2.23.20.0")
    assert b"Cave" in response.body
    assert b"cave.example" not in response.body
