"""Hosts at the visitor server: a domain is its profile's alone; unknown hosts as the operator wants."""

import pytest

from engine.visits.domain_host import DomainHost
from tests.kit.hosted import hosted_run
from tests.kit.visitor_servers import ServedEdge, get, served_edge, shop

pytestmark = pytest.mark.trio(run=hosted_run)
DOMAIN = b"links.shop.example"
PLAIN = DomainHost(b"shop", b"", b"")
WITH_TARGETS = DomainHost(b"shop", b"https://shop.example/", b"https://shop.example/lost")


async def locations(edge: ServedEdge, *paths: bytes, host: bytes = DOMAIN) -> list[tuple[int, str]]:
    visitor = await edge.visitor()
    responses = [await visitor.request(get(path, host=host)) for path in paths]
    return [(response.status, response.location) for response in responses]


async def test_links_answer_at_a_domain_without_their_handle_and_are_counted() -> None:
    async with served_edge() as edge:
        await shop(edge)
        edge.hosts.replace({DOMAIN: PLAIN})
        a, b = (302, "https://a.example/"), (302, "https://b.example/")
        answered = await locations(edge, b"/a", b"/A", b"/b", b"/shop/a")
        assert answered == [a, a, b, a]
        assert len(edge.journal.clicks) == 5  # one is shop()'s
        assert (await locations(edge, b"/a", host=b"LINKS.shop.example:8080"))[0] == a
        visitor = await edge.visitor()
        page = await visitor.request(get(b"/", host=DOMAIN))
        assert (page.status, edge.server.visits_by_status[200]) == (200, 1)
        # Pipelined and unusual heads take the other way.
        await visitor.send(get(b"/a", host=DOMAIN) + get(b"/b", method=b"HEAD", host=DOMAIN))
        assert (await visitor.response()).location == a[1]
        assert (await visitor.response(head=True)).location == b[1]


async def test_a_cold_profile_is_loaded_through_its_domain() -> None:
    async with served_edge() as edge:
        await shop(edge)
        edge.hosts.replace({DOMAIN: DomainHost(b"far", b"", b"https://far.example/lost")})
        assert await locations(edge, b"/x", b"/nothing", b"/nothing") == [
            (302, "https://x.example/"),
            (302, "https://far.example/lost"),
            (302, "https://far.example/lost"),
        ]


async def test_a_domain_leads_to_no_other_profile() -> None:
    async with served_edge() as edge:
        await shop(edge)
        edge.hosts.replace({DOMAIN: PLAIN})
        paths = (b"/far/x", b"/@far", b"/nothing", b"/%2f", b"/a/b/c", b"/%ff")
        assert await locations(edge, *paths) == [(404, "")] * len(paths)
        assert edge.hosts.counts == {"root": 0, "path": len(paths), "host": 0}


async def test_the_root_and_unknown_paths_of_a_domain_lead_to_their_targets() -> None:
    async with served_edge() as edge:
        await shop(edge)
        edge.hosts.replace({DOMAIN: WITH_TARGETS})
        clicks = len(edge.journal.clicks)
        lost = (302, "https://shop.example/lost")
        answered = await locations(edge, b"/", b"/no", b"/no", b"/a/b/c", b"/waypost.js")
        assert answered == [(302, "https://shop.example/"), lost, lost, lost, (200, "")]
        visitor = await edge.visitor()
        headed = await visitor.request(get(b"/", method=b"HEAD", host=DOMAIN))
        assert (headed.status, headed.body) == (302, b"")
        assert len(edge.journal.clicks) == clicks
        assert edge.hosts.counts == {"root": 2, "path": 3, "host": 0}
        assert edge.hosts.orphans._counts == {DOMAIN: {"/": 2, "/no": 2, "/a/b/c": 1}}


async def test_the_default_domain_stays_as_it_is_beside_domains() -> None:
    async with served_edge() as edge:
        await shop(edge)
        edge.hosts.replace({DOMAIN: WITH_TARGETS})
        for host in (b"links.example", b"127.0.0.1", b"[::1]:80", b"localhost", b"unknown.example"):
            answered = await locations(edge, b"/shop/a", b"/nothing", b"/", host=host)
            assert answered == [(302, "https://a.example/"), (404, ""), (404, "")], host


async def test_unknown_hosts_are_refused_where_the_operator_wants_it() -> None:
    async with served_edge() as edge:
        await shop(edge)
        edge.hosts.strict = True
        edge.hosts.replace({})
        assert await locations(edge, b"/shop/a", host=b"unknown.example") == [(404, "")]
        assert edge.hosts.counts["host"] == 1
        for host in (b"links.example", b"127.0.0.1:8080", b"localhost"):
            assert (await locations(edge, b"/shop/a", host=host))[0][0] == 302


async def test_until_domains_are_read_an_unknown_host_is_asked_to_come_again() -> None:
    async with served_edge() as edge:
        await shop(edge)
        edge.hosts.known, edge.hosts.decides = False, True
        assert await locations(edge, b"/shop/a", host=DOMAIN) == [(503, "")]
        assert (await locations(edge, b"/shop/a", host=b"links.example"))[0][0] == 302


async def test_a_domain_that_is_gone_answers_no_more() -> None:
    async with served_edge() as edge:
        await shop(edge)
        edge.hosts.replace({DOMAIN: PLAIN})
        assert (await locations(edge, b"/a"))[0][0] == 302
        edge.hosts.strict = True
        edge.hosts.replace({})
        assert (await locations(edge, b"/a"))[0][0] == 404
