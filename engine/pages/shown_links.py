"""Links as pages show them: where they lead to, and the repositories that they are."""

from collections.abc import Iterable
from typing import Final

from engine.links import name
from engine.links.slugs.link_path import link_path
from engine.pages.html.sources import LinkCard, RepositoryCard
from engine.pages.page_link import PageLink

PAGE_QUERY: Final = (
    "wp_t=page"  # names the page as what led to the link (engine/visits/query_parameters.py)
)


def page_path(handle: str) -> str:
    """Return the path of a profile's page."""
    return name.encode_path("@" + handle).decode("ascii")


def link_cards(handle: str, links: Iterable[PageLink]) -> dict[int, LinkCard]:
    """Return links by id. They lead to the visitors' server, so that clicks are counted."""
    return {
        link.id: LinkCard(
            href=f"{link_path(handle, link.slug).decode('ascii')}?{PAGE_QUERY}",
            title=link.title or link.slug,
        )
        for link in links
    }


def repository_cards(links: Iterable[PageLink]) -> dict[int, RepositoryCard]:
    """Return the repositories of links whose facts are known."""
    return {
        link.id: RepositoryCard(facts=link.facts, synced_at=link.synced_at)
        for link in links
        if link.facts is not None and link.synced_at is not None
    }
