"""Prices of this build for a simulation: what was measured, for one kind of traffic."""

import random
from typing import Final, NamedTuple

from bench.scaling.service_costs import FoldCosts, LinearCost
from bench.scaling.simulation import FoldPrice
from bench.scaling.traffic_contents import TrafficContents

LARGEST_CLICKS: Final = 10_000


class LifeCosts(NamedTuple):
    """Costs of a click after its fold: CPU seconds of jobs and of Postgres, and bytes of log, on the day itself
    (`settle`) and at night; bytes that stay on disk in counts, and as a raw row while it is kept."""

    settle_worker_s: float = 0.0
    settle_postgres_s: float = 0.0
    settle_wal: float = 0.0
    night_worker_s: float = 0.0
    night_postgres_s: float = 0.0
    night_wal: float = 0.0
    disk: float = 0.0
    raw_disk: float = 0.0


class EnginePrices:
    """Prices of folds that append raw rows and deltas: they lock the row of their journal and nothing else."""

    folds_all_journals = False

    def __init__(
        self, costs: FoldCosts, contents: TrafficContents, life: LifeCosts, edge_s: float
    ) -> None:
        self._costs = costs
        self._contents = contents
        large = contents.at(LARGEST_CLICKS)
        self.click_bytes = large.bytes / large.clicks
        self.edge_s = edge_s
        self.redis_s = costs.redis_s * self.click_bytes / 2  # half for each of adding and reading
        self.settle_worker_s = life.settle_worker_s
        self.settle_postgres_s = life.settle_postgres_s + costs.background_s

    def fold(self, clicks: float, others: int, backends: int, dice: random.Random) -> FoldPrice:
        costs = self._costs
        content = self._contents.at(clicks)
        worker_s = _drawn(costs.worker, costs.worker.of(content), dice)
        postgres_s = _drawn(costs.postgres, costs.postgres.of(content), dice)
        return FoldPrice(
            worker_s * (1 + costs.worker_growth * others) + content.bytes * costs.read_s,
            postgres_s * (1 + costs.postgres_growth * backends),
            costs.wal.of(content),
        )


def _drawn(cost: LinearCost, seconds: float, dice: random.Random) -> float:
    return seconds * dice.choice(cost.ratios)
