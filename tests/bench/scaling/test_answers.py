"""Answers of the model: what is asked for is carried, limits are in order, and sums agree."""

import pytest

from bench.scaling import answers
from bench.scaling.answers import Model
from bench.scaling.engine_prices import LifeCosts
from bench.scaling.engine_runs import EngineRun
from bench.scaling.service_costs import FoldCosts, LinearCost

RATIOS = (0.9, 1.0, 1.1)


def linear(fold: float, click: float, delta: float) -> LinearCost:
    return LinearCost((fold, click, delta, 0, 0, 0, 0, 0, 0), RATIOS)


@pytest.fixture
def model() -> Model:
    costs = FoldCosts(
        worker=linear(400e-6, 4e-6, 10e-6), postgres=linear(400e-6, 2e-6, 2e-6), wal=linear(200, 200, 200),
        ship_s=2e-9, read_s=1e-9, redis_s=4e-9, background_s=1e-7,
    )  # fmt: skip
    run = EngineRun("hot", 1, 1, 20.0, 8, 3, 1, 200, 0.01, 0.02, 0.01)
    life = LifeCosts(settle_worker_s=1e-6, night_worker_s=2e-6, night_wal=50, disk=40, raw_disk=200)
    return Model(costs, {"hot": run}, {"hot": life}, 1e9)


def test_a_deployment_is_sized_until_it_keeps_up(model: Model) -> None:
    small, large = (
        answers.carrier(model, "hot", rate, edges=10, seconds=4) for rate in (20_000, 200_000)
    )
    assert small.keeps_up
    assert large.keeps_up
    assert small.deployment.workers < large.deployment.workers
    assert large.outcome.clicks_per_s == pytest.approx(200_000, rel=0.05)
    assert large.outcome.fresh_p99_s < answers.FRESH_S
    assert large.outcome.edge_busy == pytest.approx(200_000 * 20e-6 / 10, rel=0.05)


def test_a_log_that_is_too_slow_is_said(model: Model) -> None:
    slow = model._replace(wal_bytes_per_s=1e6)
    carried = answers.carrier(slow, "hot", 50_000, edges=10, seconds=3)
    assert carried.keeps_up
    assert carried.deployment.wal_bytes_per_s > 10e6
    rows = answers.limits(slow, "hot", 10, 16)
    assert rows == sorted(rows, key=lambda row: row.clicks_per_s)
    assert rows[0].part.startswith("Postgres' log")
    said = answers.sentences(slow, "hot", carried, rows, answers.billion(slow, "hot"))
    assert "(this machine's: 1)" in said[0]
    assert "Postgres' log" in said[1]


def test_a_billion_clicks_cost_a_billion_times_one(model: Model) -> None:
    costs = answers.billion(model, "hot")
    assert costs["edges_cpu_hours"] == pytest.approx(20e-6 * 1e9 / 3600, rel=0.01)
    assert costs["cpu_hours"] == pytest.approx(
        sum(costs[f"{part}_cpu_hours"] for part in ("edges", "workers", "postgres", "redis")),
        abs=0.03,
    )
    assert costs["wal_gb"] == pytest.approx(250, rel=0.01)
    assert (costs["counts_gb"], costs["raw_gb"]) == (40, 200)


def test_a_failover_and_a_death_are_caught_up_with(model: Model) -> None:
    outcomes = answers.faults(model, "hot", 10_000, seconds=25)
    assert outcomes["failover of 10 s"].longest_gap_s >= 10
    assert all(outcome.caught_up_s >= 0 for outcome in outcomes.values())
