"""Paths behind a link's address at the visitor server, and other readings of what leads nowhere."""

import pytest

from engine.links.rules import LinkRule, RuleConditions
from engine.visits.domain_host import DomainHost
from storage.accounts.passwords import PasswordHasher
from tests.kit.hosted import hosted_run
from tests.kit.stores import FAST
from tests.kit.visitor_servers import ServedEdge, get, served_edge

pytestmark = pytest.mark.trio(run=hosted_run)
DOMAIN = b"links.shop.example"
LOST = (404, "")


async def answers(
    edge: ServedEdge, *paths: bytes, host: bytes = b"links.example"
) -> list[tuple[int, str]]:
    visitor = await edge.visitor()
    responses = [await visitor.request(get(path, host=host)) for path in paths]
    return [(response.status, response.location) for response in responses]


async def test_an_extra_path_goes_on_behind_the_target_and_is_counted() -> None:
    async with served_edge() as edge:
        shop = await edge.profiles.add_profile("shop")
        await edge.profiles.add_link(
            shop, "gh", "https://gh.example/x?q=1", extra_path=True, passthrough=True
        )
        await edge.profiles.add_link(shop, "plain")
        found = await answers(
            edge, b"/gh", b"/gh/Foo/b%20c", b"/shop/gh/Foo/", b"/GH/v1.2.", b"/gh/qr/x", b"/gh/a?q=2",
            b"/plain/x", b"/shop/plain/x", b"/none/x", b"/gh/../x", b"/gh//x",
        )  # fmt: skip
        assert found == [
            (302, "https://gh.example/x?q=1"),
            (302, "https://gh.example/x/Foo/b%20c?q=1"),
            (302, "https://gh.example/x/Foo/?q=1"),
            (302, "https://gh.example/x/v1.2.?q=1"),
            (302, "https://gh.example/x/qr/x?q=1"),
            (302, "https://gh.example/x/a?q=2"),
            LOST, LOST, LOST, LOST, LOST,
        ]  # fmt: skip
        assert len(edge.journal.clicks) == 6
        assert {click.link_id for click in edge.journal.clicks if click} != {0}
        queries = len(edge.profiles.queries)
        assert await answers(edge, b"/plain/x", b"/none/x", b"/gh/Foo/b%20c") == [
            LOST,
            LOST,
            found[1],
        ]
        assert len(edge.profiles.queries) == queries  # all is remembered


async def test_arguments_are_filled_or_the_link_is_closed() -> None:
    async with served_edge() as edge:
        shop = await edge.profiles.add_profile("shop")
        rules = (LinkRule(when=RuleConditions(query={"x": ()}), target="https://rule.example/"),)
        await edge.profiles.add_link(
            shop, "t", "https://t.example/{1}?by={2:web}", extra_path=True, rules=rules
        )
        await edge.profiles.add_link(
            shop,
            "f",
            "https://f.example/{1}",
            extra_path=True,
            fallback_target="https://lost.example/",
        )
        assert await answers(edge, b"/t/17", b"/t/17/a%26b", b"/t/17?x=1", b"/t", b"/t/1/2/3", b"/f") == [
            (302, "https://t.example/17?by=web"),
            (302, "https://t.example/17?by=a%26b"),
            (302, "https://rule.example/"),
            LOST, LOST, (302, "https://lost.example/"),
        ]  # fmt: skip
        assert len(edge.journal.clicks) == 3
        assert edge.server.closed == 3


async def test_an_extra_path_on_a_domain_is_of_its_profile() -> None:
    async with served_edge() as edge:
        shop = await edge.profiles.add_profile("shop")
        await edge.profiles.add_link(shop, "gh", "https://gh.example/", extra_path=True)
        far = await edge.profiles.add_profile("far")
        await edge.profiles.add_link(far, "up", "https://far.example/", extra_path=True)
        edge.hosts.replace({DOMAIN: DomainHost(b"shop", b"", b"")})
        assert await answers(edge, b"/gh/A/b", b"/shop/gh/A", b"/up/x", b"/far/up/x", host=DOMAIN) == [
            (302, "https://gh.example/A/b"), (302, "https://gh.example/A"), LOST, LOST,
        ]  # fmt: skip


async def test_punctuation_on_a_domain_does_not_lead_to_another_profile() -> None:
    async with served_edge() as edge:
        await edge.profiles.add_profile("shop", "a")
        await edge.profiles.add_profile(
            "far", "shop"
        )  # its short slug is the handle of the domain's profile
        edge.hosts.replace({DOMAIN: DomainHost(b"shop", b"", b"")})
        assert await answers(edge, b"/)", b"/%20.", b"/a)", host=DOMAIN) == [
            LOST, LOST, (302, "https://a.example/"),
        ]  # fmt: skip


async def test_an_extra_path_waits_behind_a_password() -> None:
    async with served_edge() as edge:
        shop = await edge.profiles.add_profile("shop")
        password = await PasswordHasher(FAST).hash("secret")
        await edge.profiles.add_link(
            shop, "gh", "https://gh.example/", extra_path=True, password=password
        )
        visitor = await edge.visitor()
        form = await visitor.request(get(b"/gh/a/b"))
        assert (form.status, b"<form" in form.body) == (200, True)
        body = b"password=secret"
        await visitor.send(
            get(b"/gh/a/b", b"Content-Type: application/x-www-form-urlencoded",
                b"Content-Length: %d" % len(body), method=b"POST") + body
        )  # fmt: skip
        passed = await visitor.response()
        assert (passed.status, passed.location) == (303, "https://gh.example/a/b")
