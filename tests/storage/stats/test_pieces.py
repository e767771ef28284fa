"""Pieces of packed clicks in Postgres: parts of day sums are cut out, and damaged sums are said to be."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from engine.common.errors import UnavailableError
from engine.stats.ports import ProfileQuestion
from engine.stats.query_parser import parse_query
from storage.stats.settling import settle_finished
from tests.kit.hosted import hosted_run
from tests.kit.random_questions import PROFILE, TENANT, Counting, ask, some_clicks

pytestmark = [pytest.mark.trio(run=hosted_run), pytest.mark.slow]

DAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=3)
NEXT = DAY + timedelta(days=1)
COUNTRIES = parse_query(
    [("from", f"{DAY:%Y-%m-%d}"), ("to", f"{NEXT:%Y-%m-%d}"), ("group", "country")], NEXT
)


@pytest.mark.parametrize(
    "damaged",
    ["'\\x'", "'\\x0102'", "substring(sums FOR 200)", "overlay(sums PLACING '\\xffff' FROM 90)"],
)
async def test_damaged_sums_are_unavailable_and_counted_from_columns_once_they_are_gone(
    counting: Counting, damaged: str
) -> None:
    dice = random.Random(1)
    await counting.fold(some_clicks(dice, 200, DAY, 0.9))
    assert await settle_finished(counting.aggregator, lambda done: None) == 1
    await ask(counting, dice, DAY, NEXT, exact_visitors=True)

    async def update(sums: str) -> None:
        await counting.aggregator.transaction(
            lambda connection: connection.execute(f"UPDATE click_segments SET sums = {sums}")
        )

    await update(damaged)
    with pytest.raises(UnavailableError, match="damaged"):
        await counting.reader.answers(TENANT, [ProfileQuestion(PROFILE, COUNTRIES)])
    await update("NULL")
    await ask(counting, dice, DAY, NEXT, exact_visitors=True)
