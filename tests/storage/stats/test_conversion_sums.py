"""Sums of conversions against a count by hand, and conversions in answers to stats questions."""

import random
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, cast

import pytest

from engine.clicks.click import Click, time_of
from engine.clicks.dimension import Dimension
from engine.clicks.record_items import PLACE, UTM, item
from engine.common.errors import InvalidError
from engine.experiments.conversion import VerifiedConversion
from engine.experiments.refund import REFUND_KINDS, RefundKind, VerifiedRefund, movements
from engine.stats.conversion_question import (
    ATTRIBUTION,
    ConversionFilter,
    ConversionQuestion,
    ConversionSum,
    revenue_texts,
)
from engine.stats.query import Filter, StatsQuery
from engine.stats.query_parser import parse_query
from storage.stats import conversion_sums
from storage.stats.reader import PostgresStatsReader
from tests.kit.conversion_worlds import PROFILE, TENANT, ConversionWorld, order_of, refund_of
from tests.kit.hosted import hosted_run
from tests.kit.shipped_batches import click

pytestmark = [pytest.mark.trio(run=hosted_run), pytest.mark.slow]

TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
HOUR = timedelta(hours=1)
COUNTRIES = ("DE", "IT", "")


def made_click(number: int, at: datetime, country: str, campaign: str = "") -> Click:
    items = item(PLACE, f"EU\x1f{country}\x1f\x1f".encode()) if country else b""
    items += item(UTM, f"utm_campaign={campaign}".encode()) if campaign else b""
    made = click(5 + number % 2, round(at.timestamp() * 1e6))
    return made._replace(visitor_id=number.to_bytes(8, "big"), items=items)


def random_world(
    dice: random.Random,
) -> tuple[list[tuple[Click, str]], list[VerifiedConversion], list[VerifiedRefund]]:
    """Return clicks with their countries, orders of them and refunds of the orders."""
    clicks, orders, refunds = [], [], []
    for number in range(1, 13):
        country = dice.choice(COUNTRIES)
        at = TODAY - timedelta(days=2) + dice.randrange(40) * HOUR + timedelta(microseconds=number)
        clicks.append((made_click(number, at, country), country))
    for number in range(20):
        of = dice.choice(clicks)[0]
        after = dice.choice([HOUR, 30 * HOUR, ATTRIBUTION, ATTRIBUTION + timedelta(microseconds=1)])
        value = dice.choice([None, "10", "20.5"])
        orders.append(order_of(of, str(number), value, dice.choice(["EUR", "JPY"]), after))
    for number in range(40):
        order = dice.choice(orders)
        kind = cast(RefundKind, dice.choice(REFUND_KINDS))
        at = order.at + dice.randrange(5) * HOUR
        value = dice.choice(["3", "8", "30"] + ["-3"] * (kind == "amount"))
        refunds.append(refund_of(order.draft.order_id, at, str(number), kind, value))
    return clicks, orders, refunds


def by_hand(
    question: ConversionQuestion,
    countries: dict[int, str],
    orders: list[VerifiedConversion],
    refunds: list[VerifiedRefund],
) -> dict[tuple[tuple[str, ...], int], ConversionSum]:
    counts: defaultdict[Any, int] = defaultdict(int)
    revenue: defaultdict[Any, defaultdict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    for order in orders:
        of, draft = order.known_click, order.draft
        country = countries[of.at_us]
        if order.at - time_of(of.at_us) > ATTRIBUTION:
            continue
        values = {Dimension.COUNTRY: country, Dimension.LINK: str(of.link_id)}
        if not all(
            (values[c.dimension] in c.values) == (c.operator == "=") for c in question.conditions
        ):
            continue
        group = tuple(values[dimension] for dimension in question.groups)
        moves = [(order.at, 1, draft.value)]
        if draft.value is not None and draft.currency is not None:
            own = [refund for refund in refunds if refund.order_id == draft.order_id]
            moves += [(m.at, 0, m.value) for m in movements(draft.value, draft.currency, own)]
        for at, number, value in moves:
            if question.start <= at < question.end:
                key = group, 1 + sum(start <= at for start in question.starts)
                counts[key] += number
                if value is not None and draft.currency is not None:
                    revenue[key][draft.currency] += value
    return {key: ConversionSum(counts[key], dict(revenue[key])) for key in counts}


async def test_sums_are_those_of_a_count_by_hand(database_url: str) -> None:
    dice = random.Random(15)
    clicks, orders, refunds = random_world(dice)
    countries = {made.at_us: country for made, country in clicks}
    async with ConversionWorld.at(database_url) as world:
        await world.fold(*(made for made, _ in clicks))
        reports: list[Any] = [*orders, *refunds]
        dice.shuffle(reports)  # a refund may come before its order
        for report in reports:
            if isinstance(report, VerifiedRefund):
                await world.report(refunds=[report])
            else:
                await world.report(report)
        await world.query("UPDATE conversions SET dimensions_due = now()")
        assert (await world.dimensions.copy_due()).copied == len(orders)
        for _ in range(60):
            start = TODAY + dice.randrange(-60, 60) * HOUR
            end = start + dice.choice([HOUR, 24 * HOUR, 24 * 60 * HOUR])
            starts = tuple(start + n * 6 * HOUR for n in range(1, dice.randrange(1, 5)))
            conditions = dice.choice([
                (), (ConversionFilter(Dimension.COUNTRY, "=", ("DE", "")),),
                (ConversionFilter(Dimension.COUNTRY, "!=", ("IT",)),
                 ConversionFilter(Dimension.LINK, "=", ("5",))),
            ])  # fmt: skip
            groups = dice.choice([(), (Dimension.COUNTRY,), (Dimension.LINK, Dimension.COUNTRY)])
            question = ConversionQuestion(start, end, starts, groups, conditions)
            assert await world.sums(question) == by_hand(question, countries, orders, refunds)


async def test_conversions_stand_in_the_answers_to_stats_questions(database_url: str) -> None:
    at = TODAY - timedelta(days=2)
    made = [
        made_click(n, at + timedelta(microseconds=n), country, campaign)
        for n, (country, campaign) in enumerate(
            [("DE", "may"), ("DE", "may"), ("DE", ""), ("IT", "may"), ("IT", ""), ("FR", "")], 1
        )
    ]
    async with ConversionWorld.at(database_url) as world:
        await world.fold(*made)
        await world.report(order_of(made[0], "1", "12.3"))
        await world.report(order_of(made[1], "2", "5", "JPY", 25 * HOUR))
        await world.report(order_of(made[3], "3", "20"))
        await world.report(order_of(None, "4", "99"))  # unattributed
        await world.report(refunds=[refund_of("1", at + 26 * HOUR, "r", value="2")])
        await world.report(order_of(made[4], "5", "1"), source="script")
        await world.report(order_of(made[5], "5", "1"), source="script")  # an order is one
        await world.report(order_of(made[5], "3", "7"), source="script")  # and not beside a hook's
        await world.query("UPDATE conversions SET dimensions_due = now() WHERE link_id > 0")
        await world.dimensions.copy_due()
        reader = PostgresStatsReader(world.app)

        async def ask(**parameters: str) -> Any:
            pairs = [("from", f"{at:%Y-%m-%d}"), ("to", f"{TODAY:%Y-%m-%d}"), *parameters.items()]
            query = parse_query(
                [("metrics", "clicks,conversions,revenue,conversion_rate"), *pairs], TODAY + HOUR
            )
            stats = await reader.stats(TENANT, PROFILE, query)
            return stats, [
                (row.time and row.time.day, *row.values, row.clicks, row.conversions.conversions,
                 revenue_texts(row.conversions.revenue))
                for row in stats.rows if row.conversions is not None
            ]  # fmt: skip

        stats, rows = await ask(group="country")
        assert rows == [
            (None, "DE", 3, 2, {"EUR": "10.30", "JPY": "5"}),
            (None, "IT", 2, 2, {"EUR": "21.00"}),
            (None, "FR", 1, 0, {}),
        ]
        assert stats.totals.conversions == ConversionSum(
            4, {"EUR": Decimal("31.3"), "JPY": Decimal(5)}
        )
        _, rows = await ask(**{"filter[utm_campaign]": "may"})
        second = (at + timedelta(days=1)).day
        assert rows == [
            (at.day, 3, 2, {"EUR": "32.30"}),
            (second, 0, 1, {"EUR": "-2.00", "JPY": "5"}),
        ]
        _, rows = await ask(fill="none", **{"filter[utm_campaign]": "may"})
        assert [row[0] for row in rows] == [at.day, second]
        _, rows = await ask(group="country", order="-conversions", limit="1")
        assert [row[1:4] for row in rows] == [("DE", 3, 2)]
        _, rows = await ask(group="country", order="conversions")
        assert [row[1:4] for row in rows] == [("DE", 3, 2), ("IT", 2, 2)]
        _, rows = await ask(group="link,country")
        assert ("5", "IT", 1, 1, {"EUR": "20.00"}) in [row[1:] for row in rows]
        later = {"from": f"{at + timedelta(days=1):%Y-%m-%d}"}
        pairs = [("metrics", "clicks,conversions"), ("group", "country"), *later.items(),
                 ("to", f"{TODAY:%Y-%m-%d}"), ("compare", "previous")]  # fmt: skip
        stats = await reader.stats(TENANT, PROFILE, parse_query(pairs, TODAY + HOUR))
        assert [(r.values, r.clicks) for r in stats.rows] == [
            (("DE",), 0)
        ]  # clicked the day before
        assert stats.compared is not None
        assert [r.conversions and r.conversions.conversions for r in stats.compared.rows] == [1]


async def test_another_tenant_sees_no_conversions(database_url: str) -> None:
    made = made_click(1, TODAY - HOUR, "DE")
    async with ConversionWorld.at(database_url) as world:
        await world.report(order_of(made, "1"))
        query = StatsQuery(
            start=TODAY - timedelta(days=9), end=TODAY + timedelta(days=2), interval="day", tz="UTC",
            by_time=False, metrics=("conversions",), filters=(Filter(Dimension.LINK, "=", ("6",)),),
        )  # fmt: skip
        reader = PostgresStatsReader(world.app)
        for tenant, number in ((TENANT, 1), (TENANT + 1, 0)):
            totals = (await reader.stats(tenant, PROFILE, query)).totals
            assert totals.conversions is not None
            assert totals.conversions.conversions == number


async def test_too_many_sums_are_refused(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversion_sums, "MAX_SUMS", 1)
    async with ConversionWorld.at(database_url) as world:
        for number in (1, 2):
            await world.report(order_of(made_click(number, TODAY - HOUR, "DE"), str(number)))
        question = ConversionQuestion(TODAY - HOUR, TODAY + HOUR, groups=(Dimension.LINK,))
        with pytest.raises(InvalidError, match="at most 1 "):
            await world.sums(question)
