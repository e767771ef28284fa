"""Prices of this build: they grow with other workers and backends, and are drawn from what was measured."""

import random

import pytest

from bench.scaling.click_records import FoldContent
from bench.scaling.engine_prices import EnginePrices, LifeCosts
from bench.scaling.service_costs import PARTS, FoldCosts, LinearCost
from bench.scaling.traffic_contents import TrafficContents

CONTENTS = TrafficContents(
    (FoldContent(1, 1, 1, 1, 0, 0, 0, 200), FoldContent(10_000, 1, 1, 1, 0, 0, 0, 2_000_000))
)


def prices(*ratios: float) -> EnginePrices:
    def per_click(cost: float) -> LinearCost:
        return LinearCost((0.0, cost, *[0.0] * (len(PARTS) - 2)), ratios)

    costs = FoldCosts(
        per_click(10e-6), per_click(2e-6), per_click(200), 0, 0, 4e-9, 1e-7, 0.1, 0.05
    )
    return EnginePrices(costs, CONTENTS, LifeCosts(settle_postgres_s=1e-6), 20e-6)


def test_others_make_a_fold_dearer() -> None:
    dice = random.Random(1)
    alone, beside = (prices(1.0).fold(1_000, others, others, dice) for others in (0, 3))
    assert alone[:3] == pytest.approx((0.01, 0.002, 200_000))
    assert alone.locks == ()
    assert beside.worker_s == pytest.approx(0.01 * 1.3)
    assert beside.postgres_s == pytest.approx(0.002 * 1.15)
    assert beside.wal_bytes == alone.wal_bytes


def test_costs_are_drawn_from_what_was_measured() -> None:
    dice = random.Random(1)
    drawn = {round(prices(0.5, 1.0, 2.0).fold(1_000, 0, 0, dice).worker_s, 6) for _ in range(50)}
    assert drawn == {0.005, 0.01, 0.02}


def test_background_work_is_paid_with_settling() -> None:
    assert prices(1.0).settle_postgres_s == pytest.approx(1.1e-6)
    assert prices(1.0).redis_s == pytest.approx(4e-9 * 200 / 2)
