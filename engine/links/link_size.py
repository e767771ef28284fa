"""Sizes of links. A number of links alone bounds no page and no batch, as a single one may have 100 KB."""

from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeVar

from engine.common.list_page import ListPage
from engine.links.link import Link

# Of targets, notes and options together: of a page of links, and of the rows and stored links of a batch.
MAX_CHARS_AT_ONCE: Final = 2 * 1024 * 1024

T = TypeVar("T")


def link_chars(target: str, notes: str, options: str | None) -> int:
    """Return the size of a link in characters. `options` are packed."""
    return len(target) + len(notes) + len(options or "")


def parts_of(items: Iterable[T], chars_of: Callable[[T], int], max_items: int) -> Iterator[list[T]]:
    """Yield the items in lists of at most `max_items`. A list ends with the item that makes it larger than
    MAX_CHARS_AT_ONCE."""
    part: list[T] = []
    chars = 0
    for item in items:
        part.append(item)
        chars += chars_of(item)
        if len(part) == max_items or chars > MAX_CHARS_AT_ONCE:
            yield part
            part, chars = [], 0
    if part:
        yield part


class LinkPage:
    """A page of links while it is read: at most `limit` links, and with the last one of as many characters."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._links: list[Link] = []
        self._chars = 0
        self._more = False

    def add(self, link: Link, chars: int) -> bool:
        """Add a link. Returns False, and leaves the link out, if the page is full: then it is known that more
        links follow."""
        self._more = len(self._links) >= self._limit or self._chars > MAX_CHARS_AT_ONCE
        if not self._more:
            self._links.append(link)
            self._chars += chars
        return not self._more

    def page(self) -> ListPage:
        return ListPage(self._links, self._links[-1].id if self._more else None)
