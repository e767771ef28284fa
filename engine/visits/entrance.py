"""Entrances: the ways on which visitors came to a profile's page, kept for the visits that follow from there.

A visit from the profile's own page says nothing of how the visitor came: its referrer is that page. So it is
recorded with the way of the visitor's entrance:

- the campaign that its own query names; otherwise the one in the query of the page, which its referrer carries;
  otherwise the one of the visitor's last entrance;
- the referrer of that entrance, unless the page's query names another campaign than it had.

An **entrance** is a view that names a way: a referrer that is not the profile's own page, or a campaign. A view
that names none (typed, a bookmark) leaves the entrance before it in place.
"""

import re
from collections import OrderedDict
from collections.abc import Iterable
from struct import Struct
from struct import error as struct_error
from typing import Final, NamedTuple

import msgspec

from engine.clicks.click import MAX_REFERRER_BYTES, VISITOR_BYTES
from engine.links.name import canonical_path
from engine.visits.query_parameters import campaign, names_campaign

KEPT_US: Final = 30 * 60 * 1_000_000
MAX_OF_PROFILE: Final = 8  # one profile may fill an eighth of an edge's entrances
MAX_CAMPAIGN_BYTES: Final = 255

_SCHEMES: Final = (b"https://", b"http://")
_FORMAT: Final = 1
_FIXED: Final = Struct(f"<qq{VISITOR_BYTES}sBB")
_URL: Final = re.compile(
    rb"(?is)https?://(?:[^/?#@]*@)?(\[[^\]/?#]*\]|[^/?#:\[]*)(?::\d*)?(/[^?#]*)?(?:\?([^#]*))?(?:#.*)?"
).fullmatch


class Entrance(msgspec.Struct, gc=False, frozen=True):
    """A visitor's entrance: `at_us` is Unix time in microseconds, `referrer` the URL as it came, `campaign` the
    `utm_…` parameters as they came, joined by `&`."""

    profile_id: int
    at_us: int
    visitor_id: bytes
    referrer: bytes
    campaign: bytes


class OwnReferrer(NamedTuple):
    """A referrer on the request's own host: whether it is the profile's page, and its query."""

    is_page: bool
    query: bytes


_PAGE: Final = OwnReferrer(True, b"")
_ORIGIN: Final = OwnReferrer(False, b"")


def own_referrer(referrer: bytes, host: bytes, page: bytes) -> OwnReferrer | None:
    """Return what the referrer says if it is the profile's page, with the canonical path `page`, or the bare
    origin, both on the request's host; None for every other referrer."""
    scheme, _, rest = referrer.partition(host + page)
    if scheme in _SCHEMES and rest[:1] in (b"", b"?") and rest.find(b"#") < 0:
        return _page(referrer, rest[1:])  # as browsers write it, four times faster than below
    if referrer.lower().find(host) < 0:
        return None  # nearly all of them
    match = _URL(referrer)
    if match is None or match[1].lower().rstrip(b".") != host:
        return None
    path = match[2] or b"/"
    if path == page or canonical_path(path) == page:
        return _page(referrer, match[3] or b"")
    return _ORIGIN if path == b"/" else None


def _page(referrer: bytes, query: bytes) -> OwnReferrer:
    if not query:
        return _PAGE
    if len(referrer) >= MAX_REFERRER_BYTES:  # perhaps cut amid its last parameter
        query = query.rpartition(b"&")[0]
    return OwnReferrer(True, query)


def way_from_page(
    own_query: bytes, page_query: bytes, entrance: Entrance | None
) -> tuple[bytes, bytes]:
    """Return (the referrer, the query with the campaign) of a visit that follows from the profile's page.

    `own_query` is the visit's, if it names a campaign; `page_query` the page's, empty when it is not known.
    """
    of_page = page_query
    if page_query and (entrance is None or page_query != entrance.campaign):
        of_page = campaign(page_query, MAX_CAMPAIGN_BYTES) if names_campaign(page_query) else b""
    if entrance is None or not entrance.campaign.startswith(of_page):
        return b"", own_query or of_page
    return entrance.referrer, own_query or entrance.campaign


class EntranceMemory:
    """The last entrance of each visitor, for KEPT_US. Bounded: the oldest of the profile is forgotten when it
    has more than its share, the oldest of all when there are more than `max_entrances`."""

    def __init__(self, max_entrances: int) -> None:
        self._max = max_entrances
        self._max_of_profile = max(1, max_entrances // MAX_OF_PROFILE)
        self._by_visitor: OrderedDict[bytes, Entrance] = OrderedDict()
        # Of each profile, the oldest first. Plain dicts: small, and the garbage collector skips them.
        self._visitors: dict[int, dict[bytes, None]] = {}
        self.evicted_for = {"profile": 0, "edge": 0}

    def __len__(self) -> int:
        return len(self._by_visitor)

    def add(self, entrance: Entrance) -> None:
        """Keep the entrance, unless a later one of its visitor is known."""
        visitor_id = entrance.visitor_id
        former = self._by_visitor.get(visitor_id)
        if former is not None:
            if former.at_us > entrance.at_us:
                return
            if former.profile_id == entrance.profile_id:
                self._renew(entrance)
                return
            self._remove(former)
        if self._max <= 0:
            return
        visitors = self._visitors.get(entrance.profile_id)
        if visitors is not None and len(visitors) >= self._max_of_profile:
            self._remove(self._by_visitor[next(iter(visitors))])
            self.evicted_for["profile"] += 1
        elif len(self._by_visitor) >= self._max:
            self._remove(self._oldest())
            self.evicted_for["edge"] += 1
        self._by_visitor[visitor_id] = entrance
        self._visitors.setdefault(entrance.profile_id, {})[visitor_id] = None

    def last(self, visitor_id: bytes, at_us: int) -> Entrance | None:
        """Return the visitor's last entrance, if it is not older than KEPT_US at `at_us`."""
        entrance = self._by_visitor.get(visitor_id)
        return entrance if entrance is not None and at_us - entrance.at_us <= KEPT_US else None

    def forget(self, at_us: int, limit: int) -> bool:
        """Forget at most `limit` entrances that are over at `at_us`. Returns whether there may be more."""
        for _ in range(limit):
            if not self._by_visitor or at_us - self._oldest().at_us <= KEPT_US:
                return False
            self._remove(self._oldest())
        return True

    def _oldest(self) -> Entrance:
        return next(iter(self._by_visitor.values()))

    def _renew(self, entrance: Entrance) -> None:
        """Keep the entrance in place of one of its visitor's, as the latest."""
        visitor_id, visitors = entrance.visitor_id, self._visitors[entrance.profile_id]
        self._by_visitor[visitor_id] = entrance
        self._by_visitor.move_to_end(visitor_id)
        del visitors[visitor_id]
        visitors[visitor_id] = None

    def _remove(self, entrance: Entrance) -> None:
        del self._by_visitor[entrance.visitor_id]
        visitors = self._visitors[entrance.profile_id]
        del visitors[entrance.visitor_id]
        if not visitors:
            del self._visitors[entrance.profile_id]


def pack_entrances(entrances: Iterable[Entrance]) -> bytes:
    """Return a message to other edges: a byte of the format, then for each entrance its fixed part (profile,
    time, visitor, lengths) and its texts."""
    parts = [bytes((_FORMAT,))]
    for entrance in entrances:
        ids = entrance.profile_id, entrance.at_us, entrance.visitor_id
        referrer, of_entrance = entrance.referrer, entrance.campaign
        parts += (_FIXED.pack(*ids, len(referrer), len(of_entrance)), referrer, of_entrance)
    return b"".join(parts)


def unpack_entrances(message: bytes) -> list[Entrance] | None:
    """Return the entrances of a message; None if it is none."""
    if message[:1] != bytes((_FORMAT,)):
        return None
    entrances, position = [], 1
    try:
        while position < len(message):
            profile_id, at_us, visitor_id, referrer, length = _FIXED.unpack_from(message, position)
            referrer_at = position + _FIXED.size
            campaign_at = referrer_at + referrer
            position = campaign_at + length
            texts = message[referrer_at:campaign_at], message[campaign_at:position]
            entrances.append(Entrance(profile_id, at_us, visitor_id, *texts))
    except struct_error:
        return None
    return entrances if position == len(message) else None
