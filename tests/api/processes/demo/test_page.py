"""The page of the demo profile: as valid as a member's, and within the first window of TCP."""

from datetime import UTC, datetime

import msgspec

from api.processes.demo.page import demo_page
from engine.pages.html.document import render_page
from engine.pages.html.sources import LinkCard, PageSources
from engine.pages.validation import parse_page


def test_the_page_is_valid_and_small() -> None:
    page = demo_page([1, 2, 3, 4, 5])
    assert parse_page(msgspec.to_builtins(page)) == (page, [])
    links = {number: LinkCard(href=f"/demo/{number}", title=str(number)) for number in range(1, 6)}
    sources = PageSources(url="http://go.example/@demo", path="/@demo", handle="demo", links=links)
    body = render_page(page, sources, datetime(2026, 5, 1, tzinfo=UTC)).body
    assert all(f'"/demo/{number}"'.encode() in body for number in range(1, 6))
    assert len(body) < 14 * 1024
