"""Rollups: which classes of visits are in which count."""

import pytest

from engine.clicks.click import RULES_VERSION_SHIFT, ClickKind, VisitorClass
from engine.clicks.rollup import rollup_counts
from tests.kit.shipped_batches import click


@pytest.mark.parametrize(
    ("visitor_class", "clicks", "views", "bots"),
    [
        (VisitorClass.UNCLASSIFIED, 2, 1, 0),
        (VisitorClass.HUMAN, 2, 1, 0),
        (VisitorClass.APP, 2, 1, 0),
        (VisitorClass.TOOL, 2, 1, 0),
        (VisitorClass.BOT, 0, 0, 3),
        (VisitorClass.MONITOR, 0, 0, 3),
        (VisitorClass.PREVIEW, 0, 0, 3),
        (VisitorClass.PREFETCH, 0, 0, 3),
    ],
)
def test_people_and_tools_are_counted_and_machines_apart(
    visitor_class: VisitorClass, clicks: int, views: int, bots: int
) -> None:
    classification = visitor_class | 2 << RULES_VERSION_SHIFT
    kinds = (ClickKind.CLICK, ClickKind.CLICK, ClickKind.VIEW, ClickKind.EVENT)
    assert kinds == (1, 1, 2, 3)
    visits = [click(kind=kind, verdict=classification) for kind in kinds]
    ((_, counts),) = rollup_counts(visits)
    assert counts == (clicks, views, bots)


def test_a_head_is_in_no_count() -> None:
    assert rollup_counts([click(verdict=VisitorClass.HEAD)]) == []


def test_each_quarter_of_an_hour_has_its_counts() -> None:
    quarter_us = 15 * 60 * 1_000_000
    at_us = 1_780_000_200_000_000 // quarter_us * quarter_us
    visits = [click(at_us=at_us + us) for us in (-1, 0, quarter_us - 1, quarter_us)]
    assert [
        (key.time_bucket_us - at_us, counts.clicks) for key, counts in rollup_counts(visits)
    ] == [
        (-quarter_us, 1),
        (0, 2),
        (quarter_us, 1),
    ]
