"""One page of a list, with a cursor for the next."""

from typing import Any, NamedTuple


class ListPage(NamedTuple):
    """One page of a list; `next_after` is the last id when there may be more."""

    items: list[Any]
    next_after: int | None
