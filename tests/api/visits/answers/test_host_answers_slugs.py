"""Domains with rules for slugs at the visitor server: case, names with slashes and dots, emoji."""

import pytest

from engine.links.slugs.slug_rules import FEATURES, Features
from engine.visits.domain_host import DomainHost
from tests.kit.hosted import hosted_run
from tests.kit.visitor_servers import ServedEdge, get, served_edge

pytestmark = pytest.mark.trio(run=hosted_run)
CASE, ALL, PLAIN = b"case.example", b"all.example", b"plain.example"
LOST = (404, "")
HEART = "\u2764"


def to(slug: str) -> tuple[int, str]:
    return 302, f"https://{slug.lower().replace('/', '-').replace(HEART, 'heart')}.example/"


async def shop(edge: ServedEdge, *slugs: str, handle: str = "shop") -> int:
    """Give the shop links with these slugs, and three domains."""
    allowed: list[Features] = [frozenset(FEATURES)]
    edge.profiles.slugs_of_domains = lambda _: allowed
    profile_id = await edge.profiles.add_profile(handle)
    for slug in slugs:
        target = to(slug)[1] + ("capital" if slug != slug.lower() else "")
        await edge.profiles.add_link(profile_id, slug, target)
    edge.hosts.replace(
        {
            CASE: DomainHost(b"shop", b"", b"", frozenset({"case_sensitive"})),
            ALL: DomainHost(b"shop", b"", b"", frozenset(FEATURES)),
            PLAIN: DomainHost(b"shop", b"", b""),
        }
    )
    return profile_id


async def answers(edge: ServedEdge, host: bytes, *paths: bytes) -> list[tuple[int, str]]:
    visitor = await edge.visitor()
    responses = [await visitor.request(get(path, host=host)) for path in paths]
    return [(response.status, response.location) for response in responses]


def capital(slug: str) -> tuple[int, str]:
    return 302, to(slug)[1] + "capital"


async def test_case_counts_at_a_case_sensitive_domain_alone() -> None:
    async with served_edge() as edge:
        await shop(edge, "spring", "Spring", "Only")
        paths = b"/spring", b"/Spring", b"/SPRING", b"/%53pring", b"/only", b"/Only"
        small, big = to("spring"), capital("spring")
        expected = [small, big, LOST, big, LOST, capital("only")]
        assert await answers(edge, CASE, *paths) == expected
        assert await answers(edge, ALL, *paths) == expected
        plain = [small, small, small, small, LOST, LOST]
        assert await answers(edge, PLAIN, *paths) == plain
        assert await answers(edge, b"localhost", *paths) == plain
        own = b"/shop/spring", b"/shop/Spring", b"/~shop/Spring", b"/~shop/spring"
        for host in (CASE, PLAIN, b"localhost"):
            assert await answers(edge, host, *own) == [small, small, big, LOST]


async def test_slashes_dots_and_emoji_answer_where_the_domain_allows_them() -> None:
    async with served_edge() as edge:
        await shop(edge, "v1.2", "docs/v1.2", HEART, "docs")
        paths = (
            b"/v1.2", b"/docs/v1.2", b"/docs/v1.2/", b"/docs%2fv1.2", b"/%E2%9D%A4", b"/%e2%9d%a4%ef%b8%8f",
            b"/docs",
        )  # fmt: skip
        nested, heart = to("docs/v1.2"), to(HEART)
        assert await answers(edge, ALL, *paths) == [
            to("v1.2"), nested, nested, nested, heart, heart, to("docs"),
        ]  # fmt: skip
        for host in (CASE, PLAIN, b"localhost"):
            assert await answers(edge, host, *paths) == [LOST] * 6 + [to("docs")]
        assert await answers(edge, PLAIN, b"/~shop/docs/v1.2", b"/~shop/%E2%9D%A4") == [
            nested, heart,
        ]  # fmt: skip
        assert edge.server.visits_by_status[302] == len(edge.journal.clicks)


async def test_a_cold_profile_is_found_by_an_exact_path() -> None:
    async with served_edge() as edge:
        await shop(edge, "Docs/v1.2")
        edge.registry._drop(list(edge.registry.profiles.values()))
        assert await answers(edge, ALL, b"/docs/v1.2", b"/Docs/v1.2") == [
            LOST,
            capital("docs/v1.2"),
        ]
        assert await answers(edge, ALL, b"/docs/v1.2", b"/Docs/v1.2") == [
            LOST,
            capital("docs/v1.2"),
        ]


async def test_what_stands_at_the_address_of_a_slug() -> None:
    async with served_edge() as edge:
        await shop(edge, "Docs/v1.2")
        visitor = await edge.visitor()
        shown = await visitor.request(get(b"/Docs/v1.2+", host=ALL))
        assert (shown.status, b"docs-v1.2.example" in shown.body) == (200, True)
        code = await visitor.request(get(b"/Docs/v1.2/qr", host=ALL))
        assert (code.status, b"<svg" in code.body) == (200, True)
        hit = await visitor.request(get(b"/Docs/v1.2/pixel.gif", host=ALL))
        assert hit.status == 200
        assert (await visitor.request(get(b"/qr", host=ALL))).status == 200  # the page's code


async def test_extra_paths_and_punctuation_follow_the_rule_of_the_domain() -> None:
    async with served_edge() as edge:
        profile_id = await shop(edge, "Spring", "v1.2")
        await edge.profiles.add_link(profile_id, "gh", "https://gh.example/", extra_path=True)
        await edge.profiles.add_link(profile_id, "Gh/x", "https://ghx.example/", extra_path=True)
        visited = await answers(
            edge, ALL, b"/gh/a/B", b"/Gh/x/a/B", b"/Gh/y", b"/gh/x/a", b"/Spring.", b"/v1.2)", b"/spring.",
            b"/~shop/Gh/x/a", b"/shop/gh/A",
        )  # fmt: skip
        assert visited == [
            (302, "https://gh.example/a/B"), (302, "https://ghx.example/a/B"), LOST,
            (302, "https://gh.example/x/a"), capital("spring"), to("v1.2"), LOST,
            (302, "https://ghx.example/a"), (302, "https://gh.example/A"),
        ]  # fmt: skip
        assert await answers(edge, CASE, b"/gh/a", b"/GH/a", b"/v1.2/a") == [
            (302, "https://gh.example/a"), LOST, LOST,
        ]  # fmt: skip


async def test_orphans_keep_the_path_as_it_came() -> None:
    async with served_edge() as edge:
        await shop(edge, "spring")
        await answers(edge, ALL, b"/Docs/V1.2", b"/SPRING", b"/@other")
        assert edge.hosts.counts["path"] == 3
        assert edge.hosts.orphans._counts[ALL].keys() == {"/Docs/V1.2", "/SPRING", "/@other"}


async def test_a_renamed_profile_and_a_new_rule_reach_visitors() -> None:
    async with served_edge() as edge:
        await shop(edge, "Spring", "spring")
        edge.hosts.replace({ALL: DomainHost(b"shop", b"", b"")})
        assert await answers(edge, ALL, b"/Spring") == [to("spring")]
        edge.hosts.replace({ALL: DomainHost(b"shop", b"", b"", frozenset(FEATURES))})
        assert await answers(edge, ALL, b"/Spring") == [capital("spring")]
