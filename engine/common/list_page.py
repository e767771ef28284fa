"""List pages: parts of a long list, each with a cursor for the next."""

from collections.abc import Sequence
from typing import Any, NamedTuple


class ListPage(NamedTuple):
    """A page of a list. `next_after` is its last id if more items follow, else None."""

    items: list[Any]
    next_after: int | None

    @classmethod
    def of(cls, items: Sequence[Any], limit: int, id_field: str = "id") -> "ListPage":
        """Return the page of the first `limit` items. Pass `limit + 1` items if the list has them: the last
        one only shows that more follow."""
        page = list(items[:limit])
        return cls(page, getattr(page[-1], id_field) if len(items) > limit else None)
