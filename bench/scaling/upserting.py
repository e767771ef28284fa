"""Figures of a build that upserted counts, kept to show that the model sees what such a design costs.

It split work by journal while the rows of its counts were by profile: a commit held the locks of its profiles,
and touched each row of a profile's counts once, however many clicks it had for it. Measured on two cores:

| measured | value |
|---|---|
| clicks/s to complete statistics, one worker | 11,235 |
| clicks/s, two workers (in the same run) | 6,513 |
| CPU of Postgres for a click on 20,000 quiet links | 300 to 350 µs |
| CPU of a worker for such a click | 156 µs |
| rows that such a click touched and no other of its commit did | 14 |
| rows of one commit, at most | 10,000 |

So a row cost Postgres 23 µs and the worker 11 µs. What one worker counted at 11,235/s was 2.6 rows a click: one
commit of 3,820 clicks in 10,000 rows. Two workers have half of each journal's clicks, in nearly as many rows.
"""

import math
import random
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from bench.scaling.simulation import Deployment, FoldPrice

ONE_WORKER: Final = 11_235.0
TWO_WORKERS: Final = 6_513.0
MEASURED: Final[Mapping[int, float]] = MappingProxyType({1: ONE_WORKER, 2: TWO_WORKERS})
ROWS_A_CLICK: Final = 14
MAX_ROWS: Final = 10_000
ROW_POSTGRES_S: Final = 325e-6 / ROWS_A_CLICK
ROW_WORKER_S: Final = 156e-6 / ROWS_A_CLICK
# Clicks of one worker's commit, of which half come from each of two journals.
COMMIT_CLICKS: Final = ONE_WORKER * MAX_ROWS * (ROW_POSTGRES_S + ROW_WORKER_S)
PROFILES: Final = 10


class UpsertingPrices:
    """Prices of the upserting build, for clicks on MAX_ROWS rows of PROFILES profiles."""

    click_bytes = 200.0
    edge_s = redis_s = settle_worker_s = settle_postgres_s = 0.0
    folds_all_journals = True

    def fold(self, clicks: float, others: int, backends: int, dice: random.Random) -> FoldPrice:
        # As many rows as are touched at least once, if each is as likely as any other.
        rows = MAX_ROWS * -math.expm1(-ROWS_A_CLICK * clicks / MAX_ROWS)
        return FoldPrice(
            rows * ROW_WORKER_S, rows * ROW_POSTGRES_S, rows * 450.0, tuple(range(PROFILES))
        )


def deployment(workers: int) -> Deployment:
    """Return two journals that never run empty, on two cores, folded by `workers`."""
    return Deployment(
        edges=2, workers=workers, cores=2, backlog_clicks=COMMIT_CLICKS / 2, seconds=30.0, warm_up_s=5.0
    )  # fmt: skip
