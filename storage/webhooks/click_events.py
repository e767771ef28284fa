"""Click events, written by the aggregators in the transaction that commits the counts.

Profiles without a webhook for click events cost next to nothing: an aggregator looks up a profile's
subscriptions at most once in SUBSCRIPTION_TTL_S. A new webhook gets its first click event after that time.

Each click is counted in exactly one `link.clicked`, because event and counts are committed together. For
`link.milestone`, a link's total before the counts is compared with the total after. An aggregator keeps totals
for TOTAL_TTL_S and then reads them again, as other aggregators count too. The event's `once` names the
milestone, so that it is written once. A total that cannot be read within a fold is carried on by the clicks
that this aggregator counts; its milestones wait for the next reading if it was never read.
"""

import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Mapping
from math import inf
from typing import Final, NamedTuple

from engine.clicks.day_rows import DayRows, ProfileDayKey
from engine.operations.metrics import Metric, Sample
from engine.webhooks.events import CountedClicks, EventDraft, LinkMilestone, LinksClicked
from engine.webhooks.milestone import milestones_between
from storage.postgres import queries
from storage.postgres.database import Connection
from storage.webhooks.link_totals import LinkKey, link_totals
from storage.webhooks.outbox import append_to_outbox

SUBSCRIPTION_TTL_S: Final = 5.0
TOTAL_TTL_S: Final = 60.0
RETRY_S: Final = 5.0
MAX_PROFILES: Final = 65_536
MAX_LINKS: Final = 65_536
LINKS_PER_EVENT: Final = 100
_SQL: Final = queries.load("webhooks/click_events")

TOTALS_UNREAD: Final = Metric(
    "waypost_milestone_totals_unread_total",
    "Totals of links for milestones that were too large to be read within a fold",
)

ProfileKey = tuple[int, int]


class _Subscription(NamedTuple):
    clicked: bool
    milestone: bool


class _Total(NamedTuple):
    """A link's total; if it was never read, not `known`, the clicks that were counted since then."""

    until_s: float
    clicks: int
    known: bool = True


Totals = dict[LinkKey, _Total]


class ClickEventWriter:
    """Writer of click events for one aggregator. `clock` is monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # Profiles whose subscriptions are known until some time, the longest known first.
        self._known_until_s: OrderedDict[ProfileKey, float] = OrderedDict()
        self._subscriptions: dict[ProfileKey, _Subscription] = {}
        self._totals: OrderedDict[LinkKey, _Total] = OrderedDict()
        self.unread = 0

    async def write(self, connection: Connection, days: Mapping[ProfileDayKey, DayRows]) -> Totals:
        """Write click events for clicks just added. Pass the returned totals to keep() after the commit."""
        profiles = {(key.tenant_id, key.profile_id) for key in days}
        await self._refresh_subscriptions(connection, profiles)
        subscribed = {profile for profile in profiles if profile in self._subscriptions}
        if not subscribed:
            return {}
        links_of: dict[ProfileKey, dict[int, int]] = defaultdict(lambda: defaultdict(int))
        for key, rows in days.items():
            profile = key.tenant_id, key.profile_id
            if profile in subscribed:
                for link_id in rows.clicked_links():
                    links_of[profile][link_id] += 1
        drafts: list[EventDraft] = []
        counted: dict[LinkKey, int] = {}
        for profile, links in links_of.items():
            if self._subscriptions[profile].clicked:
                drafts += _clicked(profile, links)
            if self._subscriptions[profile].milestone:
                counted |= {(*profile, link_id): count for link_id, count in links.items()}
        totals = await self._totals_after(connection, counted)
        for link, count in counted.items():
            if totals[link].known:
                drafts += _milestones(
                    link, self._before(link, totals[link], count), totals[link].clicks
                )
        await append_to_outbox(connection, drafts)
        return totals

    def _before(self, link: LinkKey, total: _Total, count: int) -> int:
        """Return the last known total: another aggregator may have passed a milestone without seeing it."""
        cached = self._totals.get(link)
        if cached is None:
            return total.clicks - count
        return cached.clicks if cached.known else total.clicks - count - cached.clicks

    def keep(self, totals: Totals) -> None:
        """Keep the totals of a committed transaction, of at most MAX_LINKS links."""
        for link, total in totals.items():
            self._totals[link] = total
            self._totals.move_to_end(link)
        while len(self._totals) > MAX_LINKS:
            self._totals.popitem(last=False)

    def samples(self) -> list[Sample]:
        return [TOTALS_UNREAD.sample(self.unread)]

    async def _refresh_subscriptions(
        self, connection: Connection, profiles: Iterable[ProfileKey]
    ) -> None:
        """Refresh which of these profiles have a webhook for click events or milestones."""
        known = self._known_until_s
        while len(known) > MAX_PROFILES:
            self._subscriptions.pop(known.popitem(last=False)[0], None)
        now = self._clock()
        expired = [profile for profile in profiles if known.get(profile, -inf) <= now]
        if not expired:
            return
        tenants, ids = zip(*expired, strict=True)
        rows = await connection.fetch(_SQL["wanted"], tenants, ids)
        until_s = now + SUBSCRIPTION_TTL_S
        for profile in expired:
            known[profile] = until_s
            known.move_to_end(profile)
            self._subscriptions.pop(profile, None)
        for row in rows:
            profile = row["tenant_id"], row["profile_id"]
            self._subscriptions[profile] = _Subscription(row["clicked"], row["milestone"])

    async def _totals_after(self, connection: Connection, counted: dict[LinkKey, int]) -> Totals:
        """Return each link's total, the counts just added included."""
        now = self._clock()
        totals: Totals = {}
        expired: list[LinkKey] = []
        for link, count in counted.items():
            cached = self._totals.get(link)
            if (
                cached is None
                or cached.until_s <= now
                or milestones_between(cached.clicks, cached.clicks + count)
            ):
                expired.append(link)
            else:
                totals[link] = cached._replace(clicks=cached.clicks + count)
        read = await link_totals(connection, expired) if expired else {}
        for link in expired:
            if link in read:
                totals[link] = _Total(now + TOTAL_TTL_S, read[link])
            else:
                self.unread += 1
                cached = self._totals.get(link, _Total(now, 0, known=False))
                totals[link] = cached._replace(
                    until_s=now + RETRY_S, clicks=cached.clicks + counted[link]
                )
        return totals


def _clicked(profile: ProfileKey, links: dict[int, int]) -> list[EventDraft]:
    tenant_id, profile_id = profile
    clicks = [CountedClicks(link_id=str(id_), clicks=links[id_]) for id_ in sorted(links)]
    return [
        EventDraft(
            tenant_id,
            profile_id,
            "link.clicked",
            LinksClicked(
                profile_id=str(profile_id), links=tuple(clicks[start : start + LINKS_PER_EVENT])
            ),
        )
        for start in range(0, len(clicks), LINKS_PER_EVENT)
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
