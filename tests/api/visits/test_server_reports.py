"""Reports of links at the visitors' server: the form, its token, and its bounds."""

import random
import re
from collections.abc import AsyncIterator
from urllib.parse import urlencode

import pytest

from actors.visits.forms.link_reports import MAX_WAITING, REPORTS_OF_CLIENT
from tests.kit.delayed_profiles import TENANT
from tests.kit.hosted import hosted_run
from tests.kit.visitor_servers import Response, ServedEdge, get, served_edge

pytestmark = pytest.mark.trio(run=hosted_run)
HOUR_S = 3600


@pytest.fixture
async def edge() -> AsyncIterator[ServedEdge]:
    async with served_edge() as served:
        await served.profiles.add_profile("shop", "a", "b")
        yield served


async def page(edge: ServedEdge, path: bytes = b"/a+") -> Response:
    return await (await edge.visitor()).request(get(path))


async def token(edge: ServedEdge, path: bytes = b"/a+", address: str = "127.0.0.1") -> str:
    response = await (await edge.visitor(address)).request(get(path))
    found = re.search(rb'name=token value="([0-9a-f]+)"', response.body)
    assert found is not None, response.body
    return found[1].decode()


async def send(
    edge: ServedEdge, fields: dict[str, str], path: bytes = b"/a+", address: str = "127.0.0.1"
) -> Response:
    body = urlencode(fields).encode()
    head = b"Content-Type: application/x-www-form-urlencoded", b"Content-Length: %d" % len(body)
    visitor = await edge.visitor(address)
    response = await visitor.request(get(path, *head, method=b"POST") + body)
    assert response.closes
    return response


async def reports(edge: ServedEdge) -> list[str]:
    links = (await edge.reports.reported_links(TENANT, 0, 100)).items
    return [f"{link.slug}: {link.reports} {link.details}" for link in links]


async def test_a_visitor_reports_a_link_once_with_the_form_behind_its_address(
    edge: ServedEdge,
) -> None:
    shown = await page(edge)
    assert b"Report this link" in shown.body
    assert "form-action 'self'" in shown.headers["content-security-policy"]
    report = {
        "category": "phishing",
        "details": "It asks for <passwords>",
        "token": await token(edge),
    }
    for _ in range(2):
        response = await send(edge, report)
        assert response.status == 200
        assert b"Thank you" in response.body
    assert await reports(edge) == ["a: 1 ('It asks for <passwords>',)"]
    assert edge.journal.records == []
    other = {**report, "token": await token(edge, address="127.0.0.2")}
    assert (await send(edge, other, address="127.0.0.2")).status == 200
    assert (await reports(edge))[0].startswith("a: 2")


async def test_a_form_of_another_visitor_link_or_day_is_no_report(edge: ServedEdge) -> None:
    report = {"category": "spam", "token": await token(edge)}
    for fields, path in (
        ({**report, "token": await token(edge, b"/b+")}, b"/a+"),
        ({**report, "token": await token(edge, address="127.0.0.2")}, b"/a+"),
        ({**report, "token": ""}, b"/a+"),
        ({**report, "token": "é"}, b"/a+"),
        ({**report, "category": "boring"}, b"/a+"),
        ({"category": "spam"}, b"/a+"),
    ):
        assert (await send(edge, fields, path)).status == 400, fields
    edge.wall_us += 86_400 * 1_000_000
    assert (await send(edge, report)).status == 400
    assert (await send(edge, report, b"/none+")).status == 404
    assert (await send(edge, report, b"/@shop+")).status == 405
    assert await reports(edge) == []
    assert edge.registry.reports.results["invalid"] == 7


async def test_reports_are_limited_and_refused_while_too_many_wait(edge: ServedEdge) -> None:
    report = {"category": "spam", "token": await token(edge)}
    waiting = edge.registry.reports._waiting
    waiting.extend([None] * MAX_WAITING)  # type: ignore[list-item]  # the task sleeps
    assert (await send(edge, report)).status == 503
    waiting.clear()
    statuses = [(await send(edge, report)).status for _ in range(REPORTS_OF_CLIENT.units)]
    assert statuses == [200] * (REPORTS_OF_CLIENT.units - 1) + [429]


async def test_without_a_key_of_the_day_there_is_no_form_and_no_report(edge: ServedEdge) -> None:
    report = {"category": "spam", "token": await token(edge)}
    edge.keys.known = False
    assert b"<form" not in (await page(edge)).body
    assert (await send(edge, report)).status == 503
    assert (await page(edge, b"/a")).status == 302


async def test_a_link_that_many_report_warns_its_visitors(edge: ServedEdge) -> None:
    edge.reports.quarantine_from = 2
    for address in ("127.0.0.1", "127.0.0.2"):
        report = {"category": "malware", "token": await token(edge, address=address)}
        assert (await send(edge, report, address=address)).status == 200
    link = (await edge.reports.reported_links(TENANT, 0, 1)).items[0]
    change = edge.profiles.bump(link.profile_id)
    edge.registry.changed([change])
    actor = edge.registry.profiles[link.profile_id]
    await edge.until(lambda: actor.version >= change.version)
    assert b"Careful with this link" in (await page(edge, b"/a")).body
    assert (await page(edge, b"/b")).status == 302


async def test_any_body_gets_an_answer_and_costs_nobody_else(edge: ServedEdge) -> None:
    """Forms that are cut, flipped, doubled or no forms: each is answered and closed, none is an error."""
    good = urlencode({"category": "spam", "details": "é" * 40, "token": await token(edge)}).encode()
    rng = random.Random(20)
    head = b"Content-Type: application/x-www-form-urlencoded"
    statuses = set()
    for number in range(150):
        body = bytearray(good * rng.choice((1, 1, 2)))
        for _ in range(rng.randrange(4)):
            body[rng.randrange(len(body))] = rng.randrange(256)
        body = body[rng.randrange(8) : rng.randrange(8, len(body) + 1)]
        path = rng.choice(
            (b"/a+", b"/shop/a+", b"/a+?x=1", b"/A+", b"/a%2B", b"/@shop+", b"/none+")
        )
        request = get(path, head, b"Content-Length: %d" % len(body), method=b"POST") + body
        visitor = await edge.visitor(f"127.0.0.{2 + number}")
        cut = rng.randrange(len(request))
        await visitor.send(request[:cut])
        response = await visitor.request(request[cut:])
        statuses.add(response.status)
        assert response.closes
    assert statuses <= {200, 400, 404, 405}
    assert edge.server.errors == 0
    assert (await page(edge, b"/a")).status == 302
