"""Links as pages show them: each leads to an address at which it answers on every host."""

import pytest

from engine.pages.page_link import PageLink
from engine.pages.shown_links import link_cards


@pytest.mark.parametrize(
    ("slug", "path"),
    [("spring", "/ada/spring"), ("Guide/v1.2", "/~ada/Guide/v1.2"), ("\u2764", "/~ada/%E2%9D%A4")],
)
def test_a_link_of_a_page_leads_to_its_path(slug: str, path: str) -> None:
    link = PageLink(slug, "", "https://example.com/", "url", 7)
    card = link_cards("ada", [link])[7]
    assert (card.href, card.title) == (f"{path}?wp_t=page", slug)
