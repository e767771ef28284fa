"""Invariant: a day is thin exactly if tables would have more rows of links than an eighth of the clicks."""

import random
from collections import Counter
from datetime import UTC, datetime

import pytest

from engine.clicks.dimension import ALL_LINKS, Dimension
from engine.stats.dimension_counts import max_values
from engine.stats.packed.profile_clicks import ProfileClicks
from engine.stats.packed.repacking import count_columns
from engine.stats.packed.table_rows import MIN_CLICKS_A_ROW, is_thin
from tests.engine.stats.packed.test_column_sums import packed
from tests.kit.stats_database import random_clicks

FIRST = datetime(2026, 5, 1, tzinfo=UTC)
NOT_COUNTED = (Dimension.TOTAL, Dimension.LINK, Dimension.VARIANT)


def rows_of(clicks: ProfileClicks) -> int:
    """Count the rows as they are written to the tables, with one of further values for each cap."""
    of_values: Counter[tuple[int, int, int]] = Counter()
    for block in count_columns(clicks, 1, 1).blocks():
        of_values.update(zip(block.dimensions, block.link_ids, block.buckets_us, strict=True))
    return sum(
        rows if (cap := max_values(dimension, link)) is None else min(rows, cap + 1)
        for (dimension, link, _), rows in of_values.items()
        if link != ALL_LINKS and dimension not in NOT_COUNTED
    )


@pytest.mark.parametrize("seed", range(12))
def test_a_day_is_thin_if_tables_would_have_a_row_for_hardly_more_than_a_click(seed: int) -> None:
    dice = random.Random(seed)
    hours = dice.choice([0.2, 1, 6])
    clicks = ProfileClicks(packed(random_clicks(dice, dice.randrange(1, 900), FIRST, hours / 24)))
    thin = rows_of(clicks) > len(clicks) // MIN_CLICKS_A_ROW
    assert is_thin(clicks) == thin


def test_the_same_clicks_are_thin_on_many_links_and_not_on_few() -> None:
    clicks = random_clicks(random.Random(1), 2_000, FIRST, 0.01)
    assert not is_thin(ProfileClicks(packed(clicks)))
    spread = [one._replace(link_id=number) for number, one in enumerate(clicks, 1)]
    assert is_thin(ProfileClicks(packed(spread)))


def test_values_beyond_a_cap_count_as_one_row() -> None:
    clicks = random_clicks(random.Random(1), 1_000, FIRST, 0.01)
    made_up = [
        one._replace(link_id=5, referrer=b"https://site%d.example/" % number)
        for number, one in enumerate(clicks)
    ]
    assert not is_thin(ProfileClicks(packed(made_up)))
