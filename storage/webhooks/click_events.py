"""Events of clicks, written by whoever counts them, in the transaction of the counts.

Costs next to nothing where nobody listens: which profiles have a webhook that does is looked up once in
LOOK_S for each profile that has clicks. So a new webhook hears of clicks some seconds after it was made.

`link.clicked` tells of each click in one event, exactly once, as its counts are committed. `link.milestone`
compares a link's total before and after: totals are known here for KNOWN_S, and counted anew then, as other
aggregators count as well. A milestone is told once, by its name in the event's `once`.
"""

import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from engine.clicks.rollup import RollupCounts, RollupKey
from engine.webhooks.events import EventDraft, LinkClicks, LinkMilestone, LinksClicked
from engine.webhooks.milestone import milestones_between
from storage.postgres import queries
from storage.postgres.database import Connection
from storage.webhooks.outbox import append_to_outbox

LOOK_S: Final = 5.0
KNOWN_S: Final = 60.0
MAX_PROFILES: Final = 65_536
MAX_LINKS: Final = 65_536
LINKS_AN_EVENT: Final = 100
_SQL: Final = queries.load("webhooks/click_events")

ProfileKey = tuple[int, int]
LinkKey = tuple[int, int, int]


class _Subscription(NamedTuple):
    until_s: float
    clicked: bool
    milestone: bool


class _Total(NamedTuple):
    until_s: float
    clicks: int


Totals = dict[LinkKey, _Total]


class ClickEventWriter:
    """`clock` is in seconds and does not jump."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._wanted: OrderedDict[ProfileKey, _Subscription] = OrderedDict()
        self._totals: OrderedDict[LinkKey, _Total] = OrderedDict()

    async def write(
        self, connection: Connection, sums: Sequence[tuple[RollupKey, RollupCounts]]
    ) -> Totals:
        """Write the events of what has just been added to the rollups. What is returned is for `keep`, once
        the transaction is committed."""
        profiles = {(key.tenant_id, key.profile_id) for key, _ in sums}
        await self._look(connection, profiles)
        listening = {one for one in profiles if any(self._wanted[one][1:])}
        if not listening:
            return {}
        links_of: dict[ProfileKey, dict[int, int]] = defaultdict(lambda: defaultdict(int))
        for key, counts in sums:
            profile = key.tenant_id, key.profile_id
            if counts.clicks and key.link_id and profile in listening:
                links_of[profile][key.link_id] += counts.clicks
        drafts: list[EventDraft] = []
        counted: dict[LinkKey, int] = {}
        for profile, links in links_of.items():
            if self._wanted[profile].clicked:
                drafts += _clicked(profile, links)
            if self._wanted[profile].milestone:
                counted |= {(*profile, link_id): count for link_id, count in links.items()}
        totals = await self._after(connection, counted)
        for link, count in counted.items():
            after, known = totals[link].clicks, self._totals.get(link)
            # From where it was last seen: others may have passed a milestone without knowing.
            drafts += _milestones(link, known.clicks if known else after - count, after)
        await append_to_outbox(connection, drafts)
        return totals

    def keep(self, totals: Totals) -> None:
        for link, total in totals.items():
            self._totals[link] = total
            self._totals.move_to_end(link)
        while len(self._totals) > MAX_LINKS:
            self._totals.popitem(last=False)

    async def _look(self, connection: Connection, profiles: Iterable[ProfileKey]) -> None:
        """Know of each of the profiles what it wants."""
        now = self._clock()
        unknown = [
            profile
            for profile in profiles
            if (known := self._wanted.get(profile)) is None or known.until_s <= now
        ]
        if not unknown:
            return
        while len(self._wanted) + len(unknown) > MAX_PROFILES and self._wanted:
            self._wanted.popitem(last=False)
        for profile in unknown:
            self._wanted[profile] = _Subscription(now + LOOK_S, False, False)
            self._wanted.move_to_end(profile)
        tenants, ids = zip(*unknown, strict=True)
        for row in await connection.fetch(_SQL["wanted"], list(tenants), list(ids)):
            profile = row["tenant_id"], row["profile_id"]
            self._wanted[profile] = _Subscription(now + LOOK_S, row["clicked"], row["milestone"])

    async def _after(self, connection: Connection, counted: dict[LinkKey, int]) -> Totals:
        """Each link's total with what is counted now."""
        now = self._clock()
        found: Totals = {}
        unknown: list[LinkKey] = []
        for link, count in counted.items():
            known = self._totals.get(link)
            if (
                known is None
                or known.until_s <= now
                or milestones_between(known.clicks, known.clicks + count)
            ):
                unknown.append(link)
            else:
                found[link] = known._replace(clicks=known.clicks + count)
        if unknown:
            tenants, profiles, links = zip(*unknown, strict=True)
            rows = await connection.fetch(
                _SQL["totals"], list(tenants), list(profiles), list(links)
            )
            for link, row in zip(unknown, rows, strict=True):
                found[link] = _Total(now + KNOWN_S, row["clicks"])
        return found


def _clicked(profile: ProfileKey, links: dict[int, int]) -> list[EventDraft]:
    tenant_id, profile_id = profile
    told = [LinkClicks(link_id=str(id_), clicks=links[id_]) for id_ in sorted(links)]
    return [
        EventDraft(
            tenant_id,
            profile_id,
            "link.clicked",
            LinksClicked(
                profile_id=str(profile_id), links=tuple(told[start : start + LINKS_AN_EVENT])
            ),
        )
        for start in range(0, len(told), LINKS_AN_EVENT)
    ]


def _milestones(link: LinkKey, before: int, after: int) -> list[EventDraft]:
    tenant_id, profile_id, link_id = link
    return [
        EventDraft(
            tenant_id,
            profile_id,
            "link.milestone",
            LinkMilestone(profile_id=str(profile_id), link_id=str(link_id), clicks=milestone),
            f"milestone {link_id} {milestone}",
        )
        for milestone in milestones_between(before, after)
    ]
