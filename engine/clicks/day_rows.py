"""Counted clicks of a profile and UTC day on their way into one fold, before their texts are read."""

from collections.abc import Iterator
from typing import NamedTuple

from engine.clicks.click import BOT_CLASSES, COUNTED_CLASSES, ClickKind, VisitorClass


class ProfileDayKey(NamedTuple):
    """A profile's UTC day; `day` counts from 1970."""

    tenant_id: int
    profile_id: int
    day: int


CLICK, VIEW, BOT, EVENT = range(4)  # how a click is counted


def how_counted(kind: int, visitor_class: int) -> int | None:
    """Return CLICK, VIEW, BOT or EVENT; None for what is not counted: HEAD requests, and own events of bots."""
    if visitor_class in COUNTED_CLASSES:
        return EVENT if kind == ClickKind.EVENT else int(kind != ClickKind.CLICK)
    if visitor_class in BOT_CLASSES and kind != ClickKind.EVENT:
        return BOT
    return None


class ClickHead(NamedTuple):
    """The part of a click that many share. `quarter` is that of its UTC day, `counted_as` of how_counted()."""

    quarter: int
    link_id: int
    counted_as: int
    visitor_class: VisitorClass


# (number of its ClickHead, user agent, referrer, language, visitor id, items): a plain tuple, as there is one
# for every click.
RecordTexts = tuple[int, bytes, bytes, bytes, bytes, bytes]


class DayRows:
    """The clicks, `rows`, and the heads that they refer to by number."""

    __slots__ = ("heads", "rows")

    def __init__(self) -> None:
        self.heads: list[ClickHead] = []
        self.rows: list[RecordTexts] = []

    def add_head(self, head: ClickHead) -> int:
        """Return the number of a new head."""
        self.heads.append(head)
        return len(self.heads) - 1

    def clicked_links(self) -> Iterator[int]:
        """Yield the link of each click, bots, own events and views of the page left out."""
        for number, *_ in self.rows:
            head = self.heads[number]
            if head.counted_as == CLICK and head.link_id:
                yield head.link_id
