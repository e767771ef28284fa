"""Answers of the model: what carries a rate, what breaks first, and what a billion clicks cost.

A deployment is sized by what its parts take for a click, each busy TARGET_BUSY of the time, then simulated;
where the simulation falls behind or counts are stale, it grows and is simulated again.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from bench.scaling.engine_prices import LARGEST_CLICKS, EnginePrices, LifeCosts
from bench.scaling.engine_runs import EngineRun
from bench.scaling.service_costs import FoldCosts
from bench.scaling.simulation import Deployment, SimulatedRun, simulate
from bench.scaling.traffic_contents import traffic_contents

TARGET_BUSY: Final = 0.7
KEPT_UP: Final = 0.98
FRESH_S: Final = 1.0
TRIES: Final = 6
GROWTH: Final = 1.25
BILLION: Final = 1_000_000_000
HOUR_S: Final = 3600.0
DEFAULT_MAX_CONNECTIONS: Final = 100  # of a Postgres as it is installed
MIXED_CLICKS: Final = 1_000  # of a fold that keeps up, by which it is sized


class Model(NamedTuple):
    """All that was measured: of folds, and by kind of traffic of edges and of a click's life."""

    costs: FoldCosts
    engine: Mapping[str, EngineRun]
    life: Mapping[str, LifeCosts]
    wal_bytes_per_s: float

    def prices(self, traffic: str) -> EnginePrices:
        edge_s = self.engine[traffic].edge_us / 1e6 if traffic in self.engine else 0.0
        life = self.life.get(traffic, LifeCosts())
        return EnginePrices(self.costs, traffic_contents(traffic), life, edge_s)


class Carrier(NamedTuple):
    """A deployment that carries a rate, and how busy it is."""

    deployment: Deployment
    outcome: SimulatedRun
    keeps_up: bool


class Limit(NamedTuple):
    """A part, how many clicks/s it takes at most, and what helps."""

    part: str
    clicks_per_s: float
    remedy: str


def carrier(model: Model, traffic: str, rate: float, edges: int, *, seconds: float) -> Carrier:
    """Size a deployment for `rate` clicks/s by `edges`, and simulate it."""
    prices = model.prices(traffic)
    content = traffic_contents(traffic).at(MIXED_CLICKS)
    worker_s = model.costs.worker.of(content) / MIXED_CLICKS + prices.settle_worker_s
    postgres_s = model.costs.postgres.of(content) / MIXED_CLICKS + prices.settle_postgres_s
    workers = max(1, math.ceil(rate * worker_s / TARGET_BUSY))
    cores = max(1, math.ceil((rate * postgres_s + idle_cores(model, edges)) / TARGET_BUSY))
    wal = rate * model.costs.wal.of(content) / MIXED_CLICKS / TARGET_BUSY
    nodes = max(1, math.ceil(rate * 2 * prices.redis_s / TARGET_BUSY))
    for _ in range(TRIES):
        plan = Deployment(
            edges=edges, workers=workers, clicks_per_s=rate, postgres_cores=cores,
            redis_nodes=nodes, wal_bytes_per_s=max(model.wal_bytes_per_s, wal), seconds=seconds,
            warm_up_s=seconds / 3,
        )  # fmt: skip
        outcome = simulate(plan, prices)
        if outcome.clicks_per_s >= KEPT_UP * rate and outcome.fresh_p99_s <= FRESH_S:
            return Carrier(plan, outcome, True)
        if outcome.worker_busy > TARGET_BUSY or outcome.postgres_busy < TARGET_BUSY:
            workers = math.ceil(workers * GROWTH)
        if outcome.postgres_busy > TARGET_BUSY:
            cores = math.ceil(cores * GROWTH)
    return Carrier(plan, outcome, False)


def limits(model: Model, traffic: str, edges: int, postgres_cores: int) -> list[Limit]:
    """Return what each part takes at most, the smallest first."""
    prices = model.prices(traffic)
    content = traffic_contents(traffic).at(LARGEST_CLICKS)
    fold_s = model.costs.worker.of(content) / content.clicks
    postgres_s = model.costs.postgres.of(content) / content.clicks + prices.settle_postgres_s
    wal = model.costs.wal.of(content) / content.clicks + life_wal(model.life.get(traffic))
    rows = [
        Limit("one worker", 1 / (fold_s + prices.settle_worker_s), "more workers"),
        Limit("one node of Redis, a core", 1 / (2 * prices.redis_s), "a cluster with more masters"),
        Limit(
            f"one Postgres of {postgres_cores} cores",
            postgres_cores / postgres_s, "more cores; beyond them a second database",
        ),
        Limit(
            f"Postgres' log at {model.wal_bytes_per_s / 1e6:,.0f} MB/s",
            model.wal_bytes_per_s / wal, "a faster disk for the log; beyond it a second database",
        ),
    ]  # fmt: skip
    if prices.edge_s:
        rows.append(Limit(f"{edges} edges, a core each", edges / prices.edge_s, "more edges"))
    return sorted(rows, key=lambda limit: limit.clicks_per_s)


def idle_cores(model: Model, edges: int) -> float:
    """Return the cores of Postgres that polls of edges take, at most: an idle engine's for each."""
    return (
        edges * sum(run.idle_postgres for run in model.engine.values()) / max(1, len(model.engine))
    )


def life_wal(life: LifeCosts | None) -> float:
    """Return the bytes of log that a click takes after its fold."""
    return life.settle_wal + life.night_wal if life else 0.0


def billion(model: Model, traffic: str) -> dict[str, float]:
    """Return what a billion clicks cost: hours of CPU by part, GB of log and of disk."""
    prices, life = model.prices(traffic), model.life.get(traffic, LifeCosts())
    content = traffic_contents(traffic).at(LARGEST_CLICKS)
    fold_s = model.costs.worker.of(content) / content.clicks
    hours = {
        "edges": prices.edge_s,
        "workers": fold_s + life.settle_worker_s + life.night_worker_s,
        "postgres": model.costs.postgres.of(content) / content.clicks
        + prices.settle_postgres_s
        + life.night_postgres_s,
        "redis": 2 * prices.redis_s,
    }
    wal = model.costs.wal.of(content) / content.clicks + life_wal(life)
    return {
        **{f"{name}_cpu_hours": round(s * BILLION / HOUR_S, 2) for name, s in hours.items()},
        "cpu_hours": round(sum(hours.values()) * BILLION / HOUR_S, 2),
        "wal_gb": round(wal * BILLION / 1e9, 1),
        "counts_gb": round(life.disk * BILLION / 1e9, 1),
        "raw_gb": round(life.raw_disk * BILLION / 1e9, 1),
    }


def faults(model: Model, traffic: str, rate: float, *, seconds: float) -> dict[str, SimulatedRun]:
    """Simulate a failover of Postgres of 10 s, and the death of one of the workers, under 60 % of load."""
    base = carrier(model, traffic, rate, max(1, round(rate / 5_000)), seconds=6.0).deployment
    base = base._replace(seconds=seconds, warm_up_s=2.0)
    prices = model.prices(traffic)
    return {
        "failover of 10 s": simulate(base._replace(failover_at_s=3.0, failover_s=10.0), prices),
        "death of a worker": simulate(
            base._replace(workers=max(2, base.workers), death_at_s=3.0), prices
        ),
    }


def rates_by_workers(
    model: Model, traffic: str, workers: Sequence[int], postgres_cores: int, *, seconds: float
) -> dict[int, float]:
    """Simulate journals that never run empty. Returns clicks/s by number of workers, each with a core."""
    prices = model.prices(traffic)
    return {
        count: simulate(
            Deployment(
                edges=count, workers=count, postgres_cores=postgres_cores,
                wal_bytes_per_s=model.wal_bytes_per_s, seconds=seconds,
            ),
            prices,
        ).clicks_per_s
        for count in workers
    }  # fmt: skip


def sentences(
    model: Model, traffic: str, carried: Carrier, rows: Sequence[Limit], costs: Mapping[str, Any]
) -> list[str]:
    """Say it in words."""
    plan, outcome = carried.deployment, carried.outcome
    shared = [row for row in rows if row.part.startswith(("one Postgres", "Postgres' log"))]
    first = rows[0] if not shared else min(shared, key=lambda row: row.clicks_per_s)
    return [
        f"{plan.edges} edges and {plan.clicks_per_s:,.0f} clicks/s ({traffic} traffic) are "
        f"{'carried' if carried.keeps_up else 'not carried'} by {plan.workers} workers and "
        f"{plan.redis_nodes} nodes of Redis, a core each, and one Postgres of {plan.postgres_cores} cores "
        f"whose log takes {plan.wal_bytes_per_s / 1e6:,.0f} MB/s (this machine's: "
        f"{model.wal_bytes_per_s / 1e6:,.0f}): {outcome.clicks_per_s:,.0f} clicks/s counted, visible "
        f"after {outcome.fresh_p50_s:.2f} s (median) and {outcome.fresh_p99_s:.2f} s (p99). Edges are "
        f"busy {outcome.edge_busy:.0%} of the time, workers {outcome.worker_busy:.0%}, Postgres' cores "
        f"{outcome.postgres_busy:.0%}, its log {outcome.wal_busy:.0%}; at most {outcome.connections} "
        f"connections of folds were busy. Polls of {plan.edges} idle edges take "
        f"{idle_cores(model, plan.edges):.1f} cores of Postgres at most.",
        f"What is shared breaks first: {first.part} takes {first.clicks_per_s:,.0f} clicks/s. Help: "
        f"{first.remedy}. Edges, workers and nodes of Redis are added as they are needed.",
        f"A billion clicks cost {costs['cpu_hours']:,.1f} hours of CPU (edges {costs['edges_cpu_hours']:,.1f}, "
        f"workers {costs['workers_cpu_hours']:,.1f}, Postgres {costs['postgres_cpu_hours']:,.1f}, Redis "
        f"{costs['redis_cpu_hours']:,.1f}), {costs['wal_gb']:,.0f} GB of log, {costs['counts_gb']:,.0f} GB of "
        f"counts for ever, and {costs['raw_gb']:,.0f} GB of raw clicks as long as those are kept.",
    ]
