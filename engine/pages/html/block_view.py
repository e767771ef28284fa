"""A block as HTML, and what its functions have at hand."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple, TypeAlias

from markupsafe import Markup

from engine.pages.html.elements import optional, safe_href
from engine.pages.html.sources import LinkCard, PagePicture, PageSources
from engine.pages.html.wording import Words

STALE_AFTER: Final = timedelta(days=7)


class BlockView(NamedTuple):
    """A block's HTML, and whether it may stand beside another one."""

    html: Markup
    is_half: bool = False


class BlockContext:
    """Sources and words. `words_language` marks our own words where the page is in another language."""

    def __init__(self, sources: PageSources, words: Words, language: str, now: datetime) -> None:
        self.sources = sources
        self.words = words
        self.styles: set[str] = set()  # the files of styles/ that the page needs
        self.languages: set[str] = set()  # of the shown repositories
        self._now = now
        is_ours = language.lower().partition("-")[0] == words.language
        self.words_language = Markup("") if is_ours else Markup(" lang={}").format(words.language)
        self._has_priority = True

    def use(self, *styles: str) -> None:
        """Note that the page needs these files of styles/."""
        self.styles.update(styles)

    def link(self, link_id: str) -> LinkCard | None:
        """Return the link of an id; None if there is none to show."""
        return self.sources.links.get(int(link_id)) if link_id.isdecimal() else None

    def destination(self, link_id: str, url: str) -> str:
        """Return where a block leads that names a link or a URL; empty if its link is not to be shown."""
        if not link_id:
            return url
        link = self.link(link_id)
        return link.href if link else ""

    def picture(self, asset: str) -> PagePicture | None:
        """Return the picture of an id; None if there is none."""
        picture = self.sources.pictures.get(asset)
        return picture if picture is not None and picture.widths else None

    def is_stale(self, synced_at: datetime) -> bool:
        """Return whether facts of this time are so old that the page says so."""
        return self._now - synced_at > STALE_AFTER

    def take_priority(self) -> bool:
        """Return whether this large picture is the first of the page."""
        is_first, self._has_priority = self._has_priority, False
        return is_first


# Returns None for a block that has nothing to show.
BlockFunction: TypeAlias = Callable[[BlockContext, Any], BlockView | None]


def anchor(classes: str, href: str, content: Markup) -> Markup:
    """Return a link that is a block of its own."""
    return Markup('<a class="{}" href="{}" rel=nofollow>{}</a>').format(
        classes, safe_href(href), content
    )


def badge_html(context: BlockContext, badge: str) -> Markup:
    """Return a badge, if there is one."""
    if badge:
        context.use("badge")
    return optional(Markup("<span class=badge dir=auto>{}</span>"), badge)
