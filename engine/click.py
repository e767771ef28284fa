"""A click: one answered request of a visitor, as the journal keeps it and Postgres counts it."""

from enum import IntEnum
from typing import Final, NamedTuple

MAX_USER_AGENT_BYTES: Final = 255
MAX_REFERRER_BYTES: Final = 255
MAX_LANGUAGE_BYTES: Final = 63


class Kind(IntEnum):
    """What was answered."""

    CLICK = 1
    VIEW = 2


class Verdict(IntEnum):
    """Who asked. Only UNJUDGED and HUMAN are counted; the rest is kept apart, not thrown away."""

    UNJUDGED = 0
    HUMAN = 1
    BOT = 2
    PREVIEW = 3
    PREFETCH = 4
    HEAD = 5


COUNTED: Final = frozenset((Verdict.UNJUDGED, Verdict.HUMAN))


class Click(NamedTuple):
    """One record. `at_us` is Unix time in microseconds; `link_id` is 0 for a view of the page."""

    kind: int
    verdict: int
    at_us: int
    tenant_id: int
    profile_id: int
    link_id: int
    user_agent: bytes
    referrer: bytes
    language: bytes
