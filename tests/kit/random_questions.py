"""Random questions about clicks, compared with a count by hand."""

import random
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import uuid4

import msgspec

from engine.clicks.click import Click, ClickKind
from engine.clicks.own_event import event_items
from engine.clicks.record_items import EXPOSURES, VariantRef, item, pack_variant_refs
from engine.stats.parameters.filter_values import joined_values
from engine.stats.ports import ProfileQuestion
from engine.stats.query import StatsQuery
from engine.stats.query_parser import FILLS, WEEKDAYS, parse_query
from engine.stats.result import Stats
from storage.clicks.ledger import PostgresClickLedger
from storage.postgres.database import Database
from storage.stats.memory_stats import answered
from storage.stats.reader import PostgresStatsReader
from tests.kit.shipped_batches import batch
from tests.kit.stats_database import random_clicks

TENANT, PROFILE = 1, 2
QUESTIONS = 6
VARIANTS = [[VariantRef(9, 1, 0), VariantRef(8, 2, 1)], [VariantRef(9, 1, 1)], []]
ZONES = ["UTC", "Europe/Rome", "Asia/Kathmandu", "America/Havana", "Australia/Lord_Howe"]
VALUES = {
    "country": ["DE", "it", "US", ""],
    "city": ["Munich, DE", "milan, it", ""],
    "browser": ["chrome", "Mobile Safari"],
    "referrer": ["instagram.com", "news.example", "https://News.Example.org/", ""],
    "source": ["Instagram", ""],
    "utm_source": ["x", "Spring Mail", ""],
    "kind": ["human", "BOT", "tool"],
    "link": ["5", "6", "7", "0"],
    "variant": ["9.1.0", "8.2.1", "9.1.1", ""],
}
EVENTS = [b"signup", b"signup\x1fplan=pro", b"signup\x1fplan=free\x1fseats=3", b"buy\x1fplan=pro"]
EVENT_VALUES = {name: values for name, values in VALUES.items() if name != "variant"} | {
    "event": ["signup", "buy", "none"],
    "property": ["plan=pro", "plan=free", "seats=3", ""],
}
PARTS = {"city": ["M", "unich"], "browser": ["ROME", "i"], "referrer": ["news", "gram"]}
LONG, SHORT = ["day", "week", "month", "quarter", "year"], ["hour", "day", "15m"]


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
    """Return random clicks, views and own events."""
    return [
        _event(dice, one)
        if dice.random() < 0.2
        else one._replace(
            items=one.items + item(EXPOSURES, pack_variant_refs(dice.choice(VARIANTS)))
        )
        for one in random_clicks(dice, count, first, days)
    ]


def _event(dice: random.Random, click: Click) -> Click:
    return click._replace(
        kind=ClickKind.EVENT, items=click.items + event_items(dice.choice(EVENTS))
    )


def random_query(dice: random.Random, first: datetime, now: datetime) -> StatsQuery:
    """Return a query of a random period, which may run at `now`, with random groups, filters, order and
    comparison."""
    ends = sorted(dice.sample(range(int((now - first) / timedelta(minutes=15)) + 200), 2))
    start, end = (first + timedelta(minutes=15 * n) for n in ends)
    of_events = dice.random() < 0.3
    known = EVENT_VALUES if of_events else VALUES
    groups = dice.sample(list(known), dice.choice([0, 1, 1, 1, 2]))
    by_time = not groups or (len(groups) < 2 and dice.random() < 0.3)
    group = ",".join((["time"] if by_time else []) + groups)
    if not groups and end - start < timedelta(days=31) and dice.random() < 0.1:
        group = "hour_of_week"
    pairs = [
        ("from", written(start)), ("to", written(end)), ("tz", dice.choice(ZONES)), ("group", group),
        ("interval", dice.choice(LONG if end - start > timedelta(days=8) else SHORT)),
        ("week_start", dice.choice(WEEKDAYS)), ("fill", dice.choice(FILLS)),
        ("metrics", "events,visitors" if of_events else "clicks,views,bots,visitors"),
    ]  # fmt: skip
    if groups:
        orders = ["-clicks", "value", "-value", "-views", "bots", "click_rate"]
        if of_events:
            orders = ["-events", "events", "value", "-value", "-visitors"]
        pairs.append(("order", dice.choice(orders)))
        pairs.append(("limit", dice.choice(["1", "2", "20"])))
    if dice.random() < 0.3:
        other = first + timedelta(minutes=15 * dice.randrange(800))
        period = f"{written(other)}..{written(other + timedelta(days=3))}"
        if end - start < timedelta(days=8):
            period = f"{written(other)}..{written(other + (end - start))}"
        pairs.append(("compare", dice.choice(["previous", "year", period])))
    pairs += [random_filter(dice, known) for _ in range(dice.choice([0, 0, 1, 1, 2, 3]))]
    return parse_query(pairs, now)


def written(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def random_filter(dice: random.Random, known: Mapping[str, list[str]]) -> tuple[str, str]:
    if dice.random() < 0.2:
        name = dice.choice(list(PARTS))
        return f"filter[{name}]~", joined_values(dice.sample(PARTS[name], dice.choice([1, 2])))
    name = dice.choice(list(known))
    values = dice.sample(known[name], dice.choice([1, 1, 2]))
    return f"filter[{name}]{dice.choice(['', '!'])}", joined_values(values)


def plain(answer: Stats) -> list[object]:
    return [(row.time, row.values, row.clicks, row.views, row.bots) for row in answer.rows]


async def ask(
    counting: Counting, dice: random.Random, first: datetime, now: datetime, *, exact_visitors: bool
) -> None:
    """Ask random questions, each page of groups of them, and compare the answers with a count by hand."""
    for _ in range(QUESTIONS):
        query = random_query(dice, first, now)
        everybody = msgspec.structs.replace(query, filters=(), groups=(), comparison=None)
        for _ in range(3):
            # Of one moment, as jobs may count visitors of late clicks anew in between.
            questions = [ProfileQuestion(PROFILE, query), ProfileQuestion(PROFILE, everybody)]
            (answer, unfiltered), _ = await counting.reader.answers(TENANT, questions)
            expected = answered(counting.clicks, query, None)
            check(query, answer, expected, exact_visitors=exact_visitors)
            assert (answer.totals.visitors or 0) <= (unfiltered.totals.visitors or 0), query
            if answer.next is None:
                break
            query = msgspec.structs.replace(query, after=answer.next)


def check(query: StatsQuery, answer: Stats, expected: Stats, *, exact_visitors: bool) -> None:
    assert plain(answer) == plain(expected), query
    totals, right = answer.totals, expected.totals
    assert (totals.clicks, totals.views, totals.bots) == (right.clicks, right.views, right.bots)
    # Sketches of several values, and of late clicks beside compacted ones, cannot be told apart. Own events are
    # in no sketch.
    one_value = all(f.operator == "=" and len(f.values) == 1 for f in query.filters)
    if query.of_events or (exact_visitors and one_value):
        assert totals.visitors == right.visitors, query
    assert (totals.visitors or 0) >= (right.visitors or 0)
    assert (answer.next and answer.next.values) == (expected.next and expected.next.values), query
    assert (answer.compared is None) == (expected.compared is None)
    if answer.compared is not None and expected.compared is not None:
        check(query, answer.compared, expected.compared, exact_visitors=exact_visitors)
