"""The simulation of counting: what must hold of any queue, and what faults do."""

import random

import pytest

from bench.scaling.simulation import Deployment, FoldPrice, simulate


class FixedPrices:
    """Prices without chance: a worker takes 10 µs for a click, Postgres 2 µs, the log 200 bytes."""

    click_bytes = 200.0
    edge_s = 20e-6
    redis_s = 1e-7
    settle_worker_s = settle_postgres_s = 0.0
    folds_all_journals = False

    def __init__(self, worker_s: float = 10e-6, postgres_s: float = 2e-6) -> None:
        self._worker_s = worker_s
        self._postgres_s = postgres_s

    def fold(self, clicks: float, others: int, backends: int, dice: random.Random) -> FoldPrice:
        return FoldPrice(clicks * self._worker_s, clicks * self._postgres_s, clicks * 200)


def test_one_worker_folds_what_its_times_allow() -> None:
    outcome = simulate(Deployment(), FixedPrices())
    assert outcome.clicks_per_s == pytest.approx(1 / 12.1e-6, rel=0.05)
    assert outcome.worker_us == pytest.approx(10, rel=0.02)
    assert outcome.postgres_us == pytest.approx(2, rel=0.02)


@pytest.mark.parametrize("workers", [2, 4, 8])
def test_workers_that_share_nothing_add_up(workers: int) -> None:
    alone = simulate(Deployment(), FixedPrices()).clicks_per_s
    outcome = simulate(Deployment(edges=workers, workers=workers), FixedPrices())
    assert outcome.clicks_per_s == pytest.approx(workers * alone, rel=0.05)


def test_cores_that_workers_share_are_a_bound() -> None:
    shared = simulate(Deployment(edges=4, workers=4, cores=2), FixedPrices())
    assert shared.clicks_per_s == pytest.approx(2 / 12e-6, rel=0.05)
    busy = simulate(Deployment(edges=4, workers=4, cores=2, busy_cores=1.0), FixedPrices())
    assert busy.clicks_per_s < 0.85 * shared.clicks_per_s


def test_one_core_of_postgres_is_a_bound_for_all_workers() -> None:
    outcome = simulate(Deployment(edges=8, workers=8, postgres_cores=1), FixedPrices())
    assert outcome.clicks_per_s == pytest.approx(1 / 2e-6, rel=0.05)
    assert outcome.postgres_busy == pytest.approx(1, abs=0.03)


def test_a_slow_log_is_a_bound() -> None:
    plan = Deployment(edges=8, workers=8, wal_bytes_per_s=20e6)
    assert simulate(plan, FixedPrices()).clicks_per_s == pytest.approx(100_000, rel=0.05)


def test_connections_are_a_bound() -> None:
    slow_postgres = FixedPrices(worker_s=1e-6, postgres_s=20e-6)
    free = simulate(Deployment(edges=4, workers=1), slow_postgres)
    bound = simulate(Deployment(edges=4, workers=1, max_connections=1), slow_postgres)
    assert bound.connections == 1 < free.connections
    assert bound.clicks_per_s == pytest.approx(1 / 20e-6, rel=0.05)
    assert free.clicks_per_s > 3 * bound.clicks_per_s


def test_what_comes_is_counted_and_soon() -> None:
    outcome = simulate(Deployment(edges=4, workers=2, clicks_per_s=40_000), FixedPrices())
    assert outcome.clicks_per_s == pytest.approx(40_000, rel=0.03)
    assert outcome.edge_busy == pytest.approx(0.2, rel=0.05)
    assert 0.02 < outcome.fresh_p50_s < outcome.fresh_p99_s < 0.3


def test_edges_and_windows_bound_what_is_not_counted() -> None:
    """More comes than workers take: the window closes, and the journal keeps the rest."""
    plan = Deployment(edges=2, workers=1, clicks_per_s=90_000, window_bytes=1e6, seconds=6)
    outcome = simulate(plan, FixedPrices(worker_s=40e-6))
    assert outcome.clicks_per_s < 25_000
    assert outcome.waiting_clicks > 100_000


def test_a_failover_is_caught_up_with() -> None:
    plan = Deployment(edges=4, workers=4, clicks_per_s=40_000, seconds=25)
    outcome = simulate(plan._replace(failover_at_s=4.0, failover_s=5.0), FixedPrices())
    assert 5 <= outcome.longest_gap_s < 6
    assert 0 < outcome.caught_up_s < 10
    assert outcome.waiting_clicks < 10_000


def test_streams_of_a_worker_that_died_wait_for_their_lease() -> None:
    plan = Deployment(edges=4, workers=2, clicks_per_s=20_000, lease_ttl_s=5, seconds=25)
    outcome = simulate(plan._replace(death_at_s=4.0), FixedPrices())
    assert 5 <= outcome.caught_up_s < 10
    assert outcome.longest_gap_s < 1  # the other worker goes on
    assert outcome.fresh_p99_s > 3


def test_a_seed_repeats_a_run() -> None:
    plan = Deployment(edges=3, workers=2, clicks_per_s=9_000, seconds=5)
    assert simulate(plan, FixedPrices()) == simulate(plan, FixedPrices())
    assert simulate(plan, FixedPrices()) != simulate(plan._replace(seed=2), FixedPrices())
