"""Random questions about clicks, compared with a count by hand."""

import random
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import uuid4

from engine.clicks.click import Click
from engine.clicks.record_items import EXPOSURES, VariantRef, item, pack_variant_refs
from engine.stats.query import StatsQuery
from engine.stats.query_parser import parse_query
from engine.stats.result import Stats
from storage.clicks.ledger import PostgresClickLedger
from storage.postgres.database import Database
from storage.stats.memory_stats import counted, moment
from storage.stats.reader import PostgresStatsReader
from tests.kit.shipped_batches import batch
from tests.kit.stats_database import random_clicks

TENANT, PROFILE = 1, 2
QUESTIONS = 6
VARIANTS = [[VariantRef(9, 1, 0), VariantRef(8, 2, 1)], [VariantRef(9, 1, 1)], []]
ZONES = ["UTC", "Europe/Rome", "Asia/Kathmandu", "America/Havana", "Australia/Lord_Howe"]
GROUPS = [
    "country",
    "city",
    "browser",
    "referrer",
    "source",
    "utm_source",
    "kind",
    "link",
    "variant",
]
FILTERS = [
    ("filter[country]", "DE"), ("filter[country]!", "DE"), ("filter[city]~", "m"), ("filter[link]", "5"),
    ("filter[link]!", "6"), ("filter[source]", ""), ("filter[kind]", "human"), ("filter[browser]", "Chrome"),
]  # fmt: skip


class Counting(NamedTuple):
    """Both ends of counting over one database, and the clicks that were folded."""

    ledger: PostgresClickLedger
    aggregator: Database
    reader: PostgresStatsReader
    clicks: list[Click]

    async def fold(self, clicks: list[Click]) -> None:
        await self.ledger.register(uuid4())
        (lease,) = await self.ledger.lease(str(uuid4()), 1, 60)
        await self.ledger.commit(lease, [batch(1, clicks)])
        self.clicks.extend(clicks)


def some_clicks(dice: random.Random, count: int, first: datetime, days: float) -> list[Click]:
    return [
        one._replace(items=one.items + item(EXPOSURES, pack_variant_refs(dice.choice(VARIANTS))))
        for one in random_clicks(dice, count, first, days)
    ]


def random_query(dice: random.Random, first: datetime, now: datetime) -> StatsQuery:
    """Return a query of a random period, with random groups, filters and order."""
    ends = sorted(dice.sample(range(int((now - first) / timedelta(minutes=15))), 2))
    start, end = (first + timedelta(minutes=15 * n) for n in ends)
    groups = dice.sample(GROUPS, dice.choice([0, 1, 1, 1, 2]))
    if "variant" in groups:
        groups = ["variant"]
    by_time = not groups or (len(groups) < 2 and dice.random() < 0.3)
    pairs = [
        ("from", start.isoformat().replace("+00:00", "Z")),
        ("to", end.isoformat().replace("+00:00", "Z")),
        ("tz", dice.choice(ZONES)),
        (
            "interval",
            dice.choice(["day", "week", "month"] if end - start > timedelta(days=8) else ["hour"]),
        ),
        ("group", ",".join((["time"] if by_time else []) + groups)),
        ("metrics", "clicks,views,bots,visitors"),
    ]
    if groups and dice.random() < 0.5:
        pairs.append(("order", dice.choice(["-clicks", "value", "-views", "bots"])))
    if groups:
        pairs.append(("limit", "100"))
    if dice.random() < 0.5 and "variant" not in groups:
        pairs.append(dice.choice(FILTERS))
    return parse_query(pairs, now)


def plain(answer: Stats) -> list[object]:
    return [(row.time, row.values, row.clicks, row.views, row.bots) for row in answer.rows]


async def ask(
    counting: Counting, dice: random.Random, first: datetime, now: datetime, *, exact_visitors: bool
) -> None:
    for _ in range(QUESTIONS):
        query = random_query(dice, first, now)
        answer = await counting.reader.stats(TENANT, PROFILE, query)
        clicks = [c for c in counting.clicks if query.start <= moment(c) < query.end]
        expected = counted(clicks, query, None)
        assert sorted(plain(answer), key=repr) == sorted(plain(expected), key=repr), query
        totals, right = answer.totals, expected.totals
        assert (totals.clicks, totals.views, totals.bots) == (right.clicks, right.views, right.bots)
        # Sketches of several values, and of late clicks beside compacted ones, cannot be told apart.
        if exact_visitors and all(filter_.operator == "=" for filter_ in query.filters):
            assert totals.visitors == right.visitors, query
        assert (totals.visitors or 0) >= (right.visitors or 0)
