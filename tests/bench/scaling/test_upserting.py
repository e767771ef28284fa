"""The build that upserted counts: the model shows that its second worker made counting slower and dearer."""

from bench.scaling import upserting
from bench.scaling.simulation import simulate
from bench.scaling.upserting import ONE_WORKER, UpsertingPrices


def test_two_workers_are_slower_and_dearer_than_one() -> None:
    alone, both = (simulate(upserting.deployment(workers), UpsertingPrices()) for workers in (1, 2))
    assert abs(alone.clicks_per_s / ONE_WORKER - 1) < 0.05
    assert both.clicks_per_s < 0.85 * alone.clicks_per_s
    assert both.postgres_us > 1.5 * alone.postgres_us
    assert alone.lock_wait_s_per_s == 0 < both.lock_wait_s_per_s


def test_without_common_rows_its_second_worker_would_have_helped() -> None:
    class OwnRows(UpsertingPrices):
        """Prices of a build whose workers share no profile: rows as with all clicks, and no lock."""

        def fold(self, clicks, others, backends, dice):  # type: ignore[no-untyped-def]
            price = super().fold(clicks, others, backends, dice)
            return price._replace(
                locks=(), worker_s=price.worker_s / 2, postgres_s=price.postgres_s / 2
            )

    alone = simulate(upserting.deployment(1), UpsertingPrices())
    both = simulate(upserting.deployment(2), OwnRows())
    assert both.clicks_per_s > 1.5 * alone.clicks_per_s
