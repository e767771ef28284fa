"""Dimensions of conversions: copied once the click is folded, of the right one of several clicks."""

from datetime import UTC, datetime, timedelta

import pytest

from engine.clicks.record_items import (
    EXPOSURES,
    PLACE,
    UTM,
    VariantRef,
    item,
    pack_variant_refs,
)
from tests.kit.conversion_worlds import ConversionWorld, order_of
from tests.kit.hosted import hosted_run
from tests.kit.shipped_batches import click

pytestmark = [pytest.mark.trio(run=hosted_run), pytest.mark.slow]

AT = datetime.now(UTC).replace(hour=0, minute=10, second=0, microsecond=1)
AT_US = round(AT.timestamp() * 1e6)
PHONE = (
    b"Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    b"Version/18.5 Mobile/15E148 Safari/604.1"
)


async def test_a_conversion_gets_the_dimensions_of_its_click_when_it_is_folded(
    database_url: str,
) -> None:
    items = item(PLACE, b"EU\x1fDE\x1fBY\x1fMunich") + item(UTM, b"utm_source=ig&utm_campaign=may")
    items += item(EXPOSURES, pack_variant_refs([VariantRef(7, 1, 2)]))
    sold = click(5, AT_US, user_agent=PHONE)._replace(visitor_id=b"\x80" + b"v" * 7, items=items)
    other = click(5, AT_US)._replace(visitor_id=b"w" * 8)
    async with ConversionWorld.at(database_url) as world:
        await world.report(order_of(sold, "1"))
        assert await world.dimensions.copy_due() == (0, 0)  # it is not folded yet
        ((due, visitor),) = await world.query(
            "SELECT dimensions_due > clock_timestamp(), click_visitor FROM conversions"
        )
        assert due
        assert visitor is not None
        await world.fold(other, sold)
        await world.query("UPDATE conversions SET dimensions_due = now()")
        assert await world.dimensions.copy_due() == (1, 0)
        assert await world.dimensions.copy_due() == (0, 0)
        rows = await world.query(
            "SELECT dimensions ->> 'country', dimensions ->> 'city', dimensions ->> 'device', "
            "dimensions ->> 'utm_campaign', dimensions ->> 'source', dimensions -> 'variant' ->> 0, "
            "dimensions ->> 'kind', dimensions_due, click_visitor FROM conversions"
        )
        assert [tuple(row)[:4] for row in rows] == [("DE", "Munich, DE", "phone", "may")]
        assert [tuple(row)[5:] for row in rows] == [("7.1.2", "human", None, None)]


async def test_a_click_that_is_never_found_is_looked_for_three_days(database_url: str) -> None:
    async with ConversionWorld.at(database_url) as world:
        await world.report(order_of(click(5, AT_US)._replace(visitor_id=b"v" * 8), "1"))
        await world.report(order_of(None, "2"))  # without a click, none is looked for
        waits = []
        for age in (timedelta(hours=1), timedelta(days=2, hours=23), timedelta(days=3, hours=1)):
            await world.query(
                "UPDATE conversions SET dimensions_due = now() WHERE dimensions_due IS NOT NULL"
            )
            await world.query(f"UPDATE conversions SET received_at = now() - interval '{age}'")
            waits.append((age, *await world.dimensions.copy_due()))
            ((due,),) = await world.query(
                "SELECT dimensions_due - clock_timestamp() FROM conversions WHERE link_id IS NOT NULL"
            )
            if due is not None:  # as long again as it has waited
                assert abs(due - age) < timedelta(minutes=1)
        assert [given_up for _, _, given_up in waits] == [0, 0, 1]
        assert await world.query("SELECT 1 FROM conversions WHERE click_visitor IS NOT NULL") == []
