"""A click: one answered request of a visitor, as the journal keeps it and Postgres counts it."""

from enum import IntEnum
from typing import Final, NamedTuple

MAX_USER_AGENT_BYTES: Final = 255
MAX_REFERRER_BYTES: Final = 255
MAX_LANGUAGE_BYTES: Final = 63
VISITOR_BYTES: Final = 8
MAX_EXTRA_BYTES: Final = 392  # so that the largest frame stays within its bound


class Kind(IntEnum):
    """What was answered."""

    CLICK = 1
    VIEW = 2


class Verdict(IntEnum):
    """Who asked, as engine/visitor.py judges. Some are counted; the rest is kept apart, not thrown away.

    A record's byte has the verdict in its three low bits and the rule's version above them.
    """

    UNJUDGED = 0
    HUMAN = 1
    BOT = 2
    PREVIEW = 3
    PREFETCH = 4
    HEAD = 5
    TOOL = 6


COUNTED: Final = frozenset((Verdict.UNJUDGED, Verdict.HUMAN, Verdict.TOOL))
# Kept as a sum of its own; a HEAD is in none.
BOTS: Final = frozenset((Verdict.BOT, Verdict.PREVIEW, Verdict.PREFETCH))
VERDICT_MASK: Final = 7
RULE_SHIFT: Final = 3


class Click(NamedTuple):
    """One record. `verdict` is the record's byte, rule included; `at_us` Unix time in microseconds; `link_id`
    is 0 for a view of the page. `visitor` is a pseudonym of VISITOR_BYTES, or empty when nobody can tell;
    `extra` what engine/extra.py encodes."""

    kind: int
    verdict: int
    at_us: int
    tenant_id: int
    profile_id: int
    link_id: int
    user_agent: bytes
    referrer: bytes
    language: bytes
    visitor: bytes = b""
    extra: bytes = b""
