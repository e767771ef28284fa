"""One page of a list, with a cursor for the next."""

from collections.abc import Sequence
from typing import Any, NamedTuple


class ListPage(NamedTuple):
    """One page of a list; `next_after` is the last id when there may be more."""

    items: list[Any]
    next_after: int | None

    @classmethod
    def of(cls, items: Sequence[Any], limit: int, id_field: str = "id") -> "ListPage":
        """Return the first `limit` of `items`, of which one more was read to know whether others follow."""
        page = list(items[:limit])
        return cls(page, getattr(page[-1], id_field) if len(items) > limit else None)
