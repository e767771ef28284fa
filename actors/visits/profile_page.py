"""The source of a profile's page, and the pure function that makes the page of it, in a thread."""

from collections.abc import Callable, Sequence
from html import escape
from typing import Final

import msgspec

from actors.visits.page_renders import RenderedPage
from actors.visits.responses import PageTails
from actors.visits.variants import with_variant
from engine.experiments.experiment import Variant
from engine.links import name
from engine.visits.query_parameters import PAGE_QUERY
from engine.visits.snapshot import PageLink, Snapshot


class PageSource(msgspec.Struct, frozen=True, gc=False):
    """The source of a profile's page, at one version. `links` stand in the profile's own order."""

    handle: str = ""
    title: str = ""
    links: tuple[PageLink, ...] = ()

    def link_ids(self) -> set[int]:
        """Return the ids of the links that the page shows."""
        return {link.id for link in self.links}

    @classmethod
    def of(cls, snapshot: Snapshot) -> "PageSource":
        return cls(snapshot.handle, snapshot.title, snapshot.page)


NO_PAGE: Final = PageSource()


def make_page(
    source: PageSource,
    shown: Sequence[tuple[int | None, Variant]],
    at_us: int,
    page_tails: Callable[[tuple[str, str]], PageTails],
) -> RenderedPage:
    """Return the page as it is at a moment. `shown` are variants of experiments, each with the link that it is
    of."""
    links = source.links
    for link_id, variant in shown:
        links = with_variant(links, link_id, variant)
    return RenderedPage(page_tails(_html(source, links)), None)


def _html(source: PageSource, links: tuple[PageLink, ...]) -> tuple[str, str]:
    handle, heading = source.handle, escape(source.title or f"@{source.handle}")
    items = "\n".join(
        f'<li><a href="{escape(name.encode_path(handle, link.slug).decode())}?{PAGE_QUERY}" rel="nofollow">'
        f"{_thumbnail(link)}{escape(link.title or link.slug)}</a></li>"
        for link in links
    )
    body = f"<h1>{heading}</h1>"
    return heading, f"{body}\n<ul>\n{items}\n</ul>" if items else body


def _thumbnail(link: PageLink) -> str:
    return f'<img src="{escape(link.thumbnail)}" alt="" height="24"> ' if link.thumbnail else ""
