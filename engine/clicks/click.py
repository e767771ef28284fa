"""A click: one recorded visit, as the journal keeps it and Postgres counts it."""

from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import Final, NamedTuple

# The last second of the year 9998, to which a day, an interval or a zone's offset can still be added. (The last
# microsecond of 9999 is `datetime.max`, which asyncpg writes as `infinity` and reads back without a zone.)
LAST_US: Final = 253_370_764_799_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

MAX_USER_AGENT_BYTES: Final = 255
MAX_REFERRER_BYTES: Final = 255
MAX_LANGUAGE_BYTES: Final = 63
VISITOR_BYTES: Final = 8
MAX_ITEMS_BYTES: Final = (
    392  # of clicks and views, so that the largest frame stays within its bound
)


class ClickKind(IntEnum):
    """The kind of a record: a redirect, a view of a page, or an own event (engine/clicks/own_event.py)."""

    CLICK = 1
    VIEW = 2
    EVENT = 3


class VisitorClass(IntEnum):
    """The class of the client that sent the request (engine/visits/classifier.py). Some classes are
    counted; the others are kept apart, not thrown away.

    A record's `classification` has the class in its four low bits and the rules version above them.
    """

    UNCLASSIFIED = 0
    HUMAN = 1
    BOT = 2
    PREVIEW = 3
    PREFETCH = 4
    HEAD = 5
    TOOL = 6
    APP = 7
    MONITOR = 8


COUNTED_CLASSES: Final = frozenset(
    (VisitorClass.UNCLASSIFIED, VisitorClass.HUMAN, VisitorClass.APP, VisitorClass.TOOL)
)
# Counted apart, as bots; a HEAD request is in no count.
BOT_CLASSES: Final = frozenset(
    (VisitorClass.BOT, VisitorClass.MONITOR, VisitorClass.PREVIEW, VisitorClass.PREFETCH)
)
CLASS_MASK: Final = 15
RULES_VERSION_SHIFT: Final = 4


class Click(NamedTuple):
    """A record, decoded. `classification` is the record's byte, rules version included; `at_us` Unix time in
    microseconds; `link_id` is 0 for the page. `visitor_id` is a pseudonym of VISITOR_BYTES, or empty
    when it is not known; `items` are packed record items (engine/clicks/record_items.py)."""

    kind: int
    classification: int
    at_us: int
    tenant_id: int
    profile_id: int
    link_id: int
    user_agent: bytes
    referrer: bytes
    language: bytes
    visitor_id: bytes = b""
    items: bytes = b""


def time_of(at_us: int) -> datetime:
    """Return the UTC time of `at_us`, Unix time in microseconds, or the nearest time in the calendar.

    Integers throughout: as a float of seconds, the last microsecond of the year 9999 is the year 10000.
    """
    return _EPOCH + timedelta(microseconds=min(max(at_us, 0), LAST_US))
