"""Folds to be measured: some to fit costs to, and others, held out, to compare predictions with.

Costs are fitted to folds of one worker with even contents (so many profiles, links and new texts), and their
growth to flat traffic with 1, 2 and 4 workers. Held out are hot, Zipf's, single and made-up traffic with 1, 2
and 4 workers: no part of the model has seen them.
"""

import statistics
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from bench.kit.report import progress
from bench.scaling.click_records import BatchShape
from bench.scaling.engine_prices import EnginePrices, LifeCosts
from bench.scaling.fold_rounds import FoldRounds, Round
from bench.scaling.fold_worker import FoldSample
from bench.scaling.service_costs import FoldCosts, content_of, fold_costs, growth
from bench.scaling.simulation import Deployment, simulate
from bench.scaling.traffic_contents import traffic_contents

WORKERS: Final = (1, 2, 4)
GROWTH_TRAFFIC: Final = "flat"
HELD_OUT: Final = ("hot", "zipf", "single", "made-up")
LIFE: Final = ("flat", "hot", "zipf", "single")  # the night of made-up values takes minutes
TOLERANCE: Final = 0.15
FOLD_CLICKS: Final = 10_000
QUICK_CLICKS: Final = 5_000
EVEN_SHAPES: Final = (
    BatchShape(100, 1, 1),
    BatchShape(100, 100, 100),
    BatchShape(1_000, 1, 1),
    BatchShape(1_000, 1, 1_000),
    BatchShape(1_000, 100, 100),
    BatchShape(1_000, 1_000, 1_000),
    BatchShape(5_000, 1, 10),
    BatchShape(5_000, 500, 5_000),
    BatchShape(10_000, 1, 10),
    BatchShape(10_000, 200, 10_000),
    BatchShape(10_000, 2_000, 2_000),
    BatchShape(10_000, 10_000, 10_000),
    BatchShape(10_000, 10_000, 10_000, moving=True),
    BatchShape(10_000, 100, 10_000, moving=True),
    BatchShape(2_000, 1, 10, new_agents=1_000),
    BatchShape(2_000, 1, 10, new_values=2_000),
    BatchShape(5_000, 100, 1_000, new_values=5_000),
)


class HeldOutPoint(NamedTuple):
    """A prediction of the model beside what was measured."""

    traffic: str
    workers: int
    quantity: str
    predicted: float
    measured: float

    @property
    def error(self) -> float:
        return self.predicted / self.measured - 1

    @property
    def holds(self) -> bool:
        return abs(self.error) <= TOLERANCE


class FoldMeasurements(NamedTuple):
    """Rounds by kind of traffic, the costs that were fitted, and what a click costs after its fold."""

    costs: FoldCosts
    even: list[Round]
    rounds: dict[str, list[Round]]
    life: dict[str, LifeCosts]


def measure(rounds: FoldRounds, *, quick: bool) -> FoldMeasurements:
    """Measure and fit. `quick` folds less often and leaves out some shapes."""
    commits, repeats = (2, 1) if quick else (3, 2)
    even: list[Round] = []
    by_traffic: dict[str, list[Round]] = {}
    shapes = [s for s in EVEN_SHAPES if s.clicks <= QUICK_CLICKS] if quick else EVEN_SHAPES
    kinds = ("flat", "hot", "zipf") if quick else (GROWTH_TRAFFIC, *HELD_OUT)
    rounds.fold(BatchShape(FOLD_CLICKS, 100, 1_000), 1, 3)  # tables of some size, and known texts
    # In turns, as a machine's pace drifts.
    for repeat in range(repeats):
        for number, shape in enumerate(shapes, start=1):
            progress(
                f"folds of {shape.clicks} clicks in {shape.profiles} profiles "
                f"({number} of {len(shapes)}, {repeat + 1} of {repeats})"
            )
            even.append(rounds.fold(shape, 1, commits))
        for count in (1, 2) if quick else WORKERS:
            for traffic in kinds:
                progress(f"{traffic} traffic, {count} workers")
                shape = BatchShape(FOLD_CLICKS, traffic=traffic)
                folded = rounds.fold(shape, count, max(2, commits - count // 2))
                by_traffic.setdefault(traffic, []).append(folded)
    costs = fold_costs(even)
    grown = by_traffic[GROWTH_TRAFFIC]
    costs = costs._replace(
        worker_growth=growth(grown, lambda sample: sample.worker_s),
        postgres_growth=growth(grown, lambda sample: sample.postgres_s),
    )
    return FoldMeasurements(
        costs,
        even,
        by_traffic,
        {traffic: life_costs(rounds, traffic, commits) for traffic in kinds if traffic in LIFE},
    )


def life_costs(rounds: FoldRounds, traffic: str, commits: int) -> LifeCosts:
    """Measure what clicks of yesterday cost after their folds: as on the day itself, and as at night."""
    progress(f"{traffic} traffic: settling and the night")
    tables, raw = "^(click_segments|dimension_(quarters|days|months)|profile_days)", "^clicks_"
    before, raw_before = rounds.disk_bytes(tables), rounds.disk_bytes(raw)
    folded = rounds.fold(BatchShape(FOLD_CLICKS, traffic=traffic, days_ago=1), 1, commits)
    clicks = folded.clicks
    raw_disk = rounds.disk_bytes(raw) - raw_before
    day, day_wal = rounds.settle()
    night, night_wal = rounds.settle(night=True)
    disk = rounds.disk_bytes(tables) - before + rounds.delta_bytes()
    return LifeCosts(
        day.worker_s / clicks, day.postgres_s / clicks, day_wal / clicks,
        night.worker_s / clicks, night.postgres_s / clicks, night_wal / clicks,
        disk / clicks, raw_disk / clicks,
    )  # fmt: skip


def compare(measured: FoldMeasurements) -> list[HeldOutPoint]:
    """Compare predictions with all rounds that were held out."""
    comparisons = []
    for traffic, all_rounds in measured.rounds.items():
        if traffic == GROWTH_TRAFFIC:
            continue
        prices = EnginePrices(measured.costs, traffic_contents(traffic), LifeCosts(), 0.0)
        for workers in sorted({folded.workers for folded in all_rounds}):
            rounds = [folded for folded in all_rounds if folded.workers == workers]
            outcome = simulate(backlog(workers), prices)
            pairs: list[tuple[str, float, float]] = [
                ("worker µs", outcome.worker_us, _per_click(rounds, worker_s) * 1e6),
                ("Postgres µs", outcome.postgres_us, _per_click(rounds, lambda s: s.postgres_s) * 1e6),
                ("clicks/s", outcome.clicks_per_s, statistics.fmean(map(rate_with_cores, rounds))),
                (
                    "WAL bytes",
                    measured.costs.wal.of(content_of(rounds[0])) / FOLD_CLICKS,
                    # A checkpoint or a vacuum in one of them adds whole pages.
                    min(r.wal_bytes / r.clicks for r in rounds),
                ),
            ]  # fmt: skip
            comparisons += [HeldOutPoint(traffic, workers, *pair) for pair in pairs]
    return comparisons


def backlog(workers: int) -> Deployment:
    """Return a journal for each worker that never runs empty, on a machine with enough cores."""
    return Deployment(
        edges=workers, workers=workers, cores=2 * workers, backlog_clicks=FOLD_CLICKS, seconds=30.0
    )  # fmt: skip


def worker_s(sample: FoldSample) -> float:
    """Return the CPU that a worker takes for a fold, reading it included."""
    return sample.worker_s + sample.read_s


def rate_with_cores(measured: Round) -> float:
    """Return the clicks/s of a round's workers as they would be if no process had waited for a core.

    All other waits are in it: for locks, latches, the log and round trips.
    """
    seconds = sum(
        max(s.took_s - s.no_core_s, s.worker_s + s.postgres_s) + s.read_s for s in measured.samples
    )
    return measured.workers * measured.clicks / seconds


def _per_click(rounds: Sequence[Round], cost: Callable[[FoldSample], float]) -> float:
    return sum(sum(map(cost, r.samples)) for r in rounds) / sum(r.clicks for r in rounds)


def round_rows(rounds: dict[str, list[Round]]) -> list[dict[str, Any]]:
    """Return what was measured: a row for each kind of traffic, or shape of its own, and number of workers."""
    groups: dict[tuple[str, BatchShape, int], list[Round]] = {}
    for traffic, all_rounds in rounds.items():
        for measured in all_rounds:
            groups.setdefault((traffic, measured.shape, measured.workers), []).append(measured)
    return [_row(traffic, workers, same) for (traffic, _, workers), same in groups.items()]


def _row(traffic: str, workers: int, same: Sequence[Round]) -> dict[str, Any]:
    clicks = sum(r.clicks for r in same)
    content = content_of(same[0])
    return {
        "traffic": traffic,
        "workers": workers,
        **{f"{name}_per_fold": round(value) for name, value in content._asdict().items()},
        "rows_per_click": round(1 + content.deltas / content.clicks, 3),
        "worker_us": round(_per_click(same, worker_s) * 1e6, 2),
        "ship_us": round(_per_click(same, lambda s: s.ship_s) * 1e6, 2),
        "backend_us": round(_per_click(same, lambda s: s.postgres_s) * 1e6, 2),
        "postgres_us": round(sum(r.postgres_s for r in same) / clicks * 1e6, 2),
        "redis_us": round(sum(r.redis_s for r in same) / clicks * 1e6, 2),
        "wal_bytes": round(sum(r.wal_bytes for r in same) / clicks),
        "lock_us": round(sum(r.lock_s for r in same) / clicks * 1e6, 3),
        "latch_us": round(sum(r.latch_s for r in same) / clicks * 1e6, 3),
        "clicks_per_s_with_cores": round(statistics.fmean(map(rate_with_cores, same))),
        "cores_of_others": round(statistics.fmean(r.others for r in same), 2),
    }
