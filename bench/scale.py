"""Cost of counting, how it grows, and where it ends: `python -m bench scale`.

It measures parts of the engine, simulates deployments with what they take, and compares predictions with
measurements that were held out. Times are CPU times, so other work on the machine distorts them little;
`cores_of_others` says how much of it there was.

| step | file | what |
|---|---|---|
| folds | `bench/scaling/fold_rounds.py` | workers fold on a real Postgres and Valkey; CPU, log, locks |
| costs | `bench/scaling/service_costs.py` | cost of a fold, click, delta, link, text; growth with workers |
| a click's life | `bench/scaling/fold_plan.py` | settling, the night, disk |
| edges, questions | `bench/scaling/engine_runs.py` | a whole engine under wrk |
| simulation | `bench/scaling/simulation.py` | edges, streams, workers, Postgres; leases, windows, failovers |
| comparison | `bench/scaling/fold_plan.py` | predictions beside rounds that were held out, within 15 % |
| a build that upserts | `bench/scaling/upserting.py` | its figures, in which two workers are slower than one |
| the law | `bench/scaling/scalability_law.py` | contention and coherence, with 95 % intervals |
| answers | `bench/scaling/answers.py` | what carries the rate, what breaks first, what a billion clicks cost |

Exit code 1 if a held-out point is off by more than 15 %, or the model of the upserting build does not get
slower with a second worker; `failures` says which. `--quick` measures less and compares without a verdict.
"""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import click
from rich.table import Table

from bench.kit.errors import BenchError
from bench.kit.report import progress, show
from bench.kit.traffic import TRAFFIC
from bench.load import wrk
from bench.load.processes import Placement
from bench.suite.machine import machine

try:
    import simpy  # noqa: F401
except ImportError:
    raise BenchError("simpy is not installed: pip install 'waypost[bench]'") from None

from bench.scaling import answers, engine_runs, fold_plan, picture, upserting
from bench.scaling.answers import Model
from bench.scaling.engine_runs import EngineRun
from bench.scaling.fold_rounds import FoldRounds
from bench.scaling.scalability_law import ScalabilityLaw, fit_law
from bench.scaling.simulation import simulate
from bench.scaling.traffic_contents import traffic_contents
from bench.suite.options import finish, suite_options
from bench.suite.result import Figure, Key, stated

WORKERS: Final = (1, 2, 4, 8, 16, 32, 64)
ENGINE_TRAFFIC: Final = ("flat", "hot", "zipf", "single")
ENGINE_S: Final = 6
SIMULATED_S: Final = 9.0
LOG_TEST_BYTES: Final = 256 * 1024 * 1024
CHUNK_BYTES: Final = 8 * 1024 * 1024


class ScaleOptions(NamedTuple):
    """Options of the command line: the deployment that is asked about, and how much is measured."""

    edges: int
    rate: int
    traffic: str
    postgres_cores: int
    quick: bool


def run(plan: ScaleOptions) -> dict[str, Any]:
    """Measure, fit, compare and answer. Raises BenchError when a tool is missing or a process fails."""
    wrk.find()
    started = time.monotonic()
    with FoldRounds() as rounds:
        folds = fold_plan.measure(rounds, quick=plan.quick)
        log_rate = log_bytes_per_s(rounds.folder / "log-test", plan.quick)
    runs, asked = {}, []
    for kind in ENGINE_TRAFFIC[:2] if plan.quick else ENGINE_TRAFFIC:
        runs[kind], question = engine_runs.measure(
            kind, 2 if plan.quick else ENGINE_S, quick=plan.quick
        )
        asked.append(question)
    progress("comparing predictions with what was held out")
    comparisons = fold_plan.compare(folds)
    model = Model(folds.costs, runs, folds.life, log_rate)
    result = {
        "benchmark": "scale",
        "plan": plan._asdict(),
        "fold_costs": {
            "worker_us": folds.costs.worker.named(1e-6),
            "postgres_us": folds.costs.postgres.named(1e-6),
            "wal_bytes": folds.costs.wal.named(1.0),
            "worker_growth": round(folds.costs.worker_growth, 4),
            "postgres_growth": round(folds.costs.postgres_growth, 4),
        },
        "even": fold_plan.round_rows({"even": folds.even}),
        "rounds": fold_plan.round_rows(folds.rounds),
        "life": {kind: _micro(life._asdict()) for kind, life in folds.life.items()},
        "engine": [_rounded({**e._asdict(), **predicted(model, e)}) for e in runs.values()],
        "questions": [_rounded(question._asdict()) for question in asked],
        "log_mb_per_s": round(log_rate / 1e6, 1),
        "held_out": [
            {**_rounded(c._asdict()), "error": round(c.error, 3), "holds": c.holds} for c in comparisons
        ],
        "upserting": upserting_rates(),
        **modelled(plan, model, folds),
    }  # fmt: skip
    return result | {
        "failures": failures(result),
        "seconds": round(time.monotonic() - started, 1),
        "machine": machine(Placement.here()),
    }


def modelled(plan: ScaleOptions, model: Model, folds: fold_plan.FoldMeasurements) -> dict[str, Any]:
    """Simulate and answer. `curves` is for the picture and not part of the result."""
    seconds = SIMULATED_S / 3 if plan.quick else SIMULATED_S
    grown = folds.rounds[fold_plan.GROWTH_TRAFFIC]
    workers = WORKERS[:4] if plan.quick else WORKERS
    progress(f"simulating 1 to {workers[-1]} workers")
    simulated = answers.rates_by_workers(
        model, plan.traffic, workers, plan.postgres_cores, seconds=seconds
    )
    laws = {"simulated": fit_law(list(simulated), list(simulated.values()))}
    if len({measured.workers for measured in grown}) > 2:
        laws["measured"] = fit_law(
            [measured.workers for measured in grown], [*map(fold_plan.rate_with_cores, grown)]
        )
    progress(f"simulating {plan.edges} edges with {plan.rate:,} clicks/s")
    carried = answers.carrier(model, plan.traffic, plan.rate, plan.edges, seconds=seconds)
    limits = answers.limits(model, plan.traffic, plan.edges, plan.postgres_cores)
    costs = {kind: answers.billion(model, kind) for kind in model.engine}
    fault_rate = min(plan.rate, 20_000)
    outcomes = answers.faults(model, plan.traffic, fault_rate, seconds=15.0 if plan.quick else 40.0)
    return {
        "simulated_clicks_per_s": {str(n): round(rate) for n, rate in simulated.items()},
        "law": {name: law_row(law) for name, law in laws.items()},
        "carried": {
            "keeps_up": carried.keeps_up,
            "workers": carried.deployment.workers,
            "postgres_cores": carried.deployment.postgres_cores,
            "redis_nodes": carried.deployment.redis_nodes,
            "log_mb_per_s": round(carried.deployment.wal_bytes_per_s / 1e6, 1),
            **_rounded(carried.outcome._asdict()),
        },
        "limits": [_rounded(limit._asdict()) for limit in limits],
        "billion": costs,
        "faults": {name: _rounded(outcome._asdict()) for name, outcome in outcomes.items()},
        "answers": answers.sentences(model, plan.traffic, carried, limits, costs[plan.traffic]),
        "picture": picture.draw(
            picture.Curves(
                _means(folds, plan.traffic), simulated, upserting.MEASURED, laws["simulated"]
            ),
            limits, plan.rate, plan.traffic,
        ),
    }  # fmt: skip


def predicted(model: Model, engine: EngineRun) -> dict[str, float]:
    """Return what folds of the engine's size cost by the model, settling included, in µs for a click.

    The engine's own figures have all else that these processes do as well.
    """
    content = traffic_contents(engine.traffic).at(engine.clicks_per_fold)
    prices, clicks = model.prices(engine.traffic), content.clicks
    worker_s = (model.costs.worker.of(content) + model.costs.read_s * content.bytes) / clicks
    postgres_s = model.costs.postgres.of(content) / clicks
    return {
        "predicted_workers_us": (worker_s + prices.settle_worker_s) * 1e6,
        "predicted_postgres_us": (postgres_s + prices.settle_postgres_s) * 1e6,
    }


def upserting_rates() -> dict[str, dict[str, float]]:
    """Return clicks/s and CPU of the upserting build, as measured and as simulated, by number of workers."""
    rates = {}
    for workers, measured in upserting.MEASURED.items():
        outcome = simulate(upserting.deployment(workers), upserting.UpsertingPrices())
        rates[str(workers)] = {
            "measured": measured,
            "simulated": round(outcome.clicks_per_s),
            "cpu_us": round(outcome.worker_us + outcome.postgres_us, 1),
        }
    return rates


def failures(result: Mapping[str, Any]) -> list[str]:
    """Return a line for each check that failed."""
    lines = [
        f"{point['traffic']}, {point['workers']} workers: {point['quantity']} predicted "
        f"{point['predicted']:,.2f}, measured {point['measured']:,.2f}"
        for point in result["held_out"]
        if not point["holds"] and not result["plan"]["quick"]
    ]
    alone, both = (result["upserting"][workers]["simulated"] for workers in ("1", "2"))
    if both >= alone:
        lines.append("the model of the upserting build does not get slower with a second worker")
    return lines


def log_bytes_per_s(file: Path, quick: bool) -> float:
    """Return how fast this disk takes a log: writes of 8 MiB, each synced."""
    total = LOG_TEST_BYTES // 8 if quick else LOG_TEST_BYTES
    chunk = os.urandom(CHUNK_BYTES)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        started = time.monotonic()
        for _ in range(0, total, CHUNK_BYTES):
            os.write(descriptor, chunk)
            os.fdatasync(descriptor)
        return total / (time.monotonic() - started)
    finally:
        os.close(descriptor)
        file.unlink()


def law_row(law: ScalabilityLaw) -> dict[str, list[float]]:
    """Return each coefficient as [value, low, high] of its 95 % interval; -1: no number of workers is best."""
    return {
        name: [-1.0 if number == float("inf") else float(f"{number:.4g}") for number in interval]
        for name, interval in law._asdict().items()
    }


def _means(folds: fold_plan.FoldMeasurements, traffic: str) -> dict[int, float]:
    by_workers: dict[int, list[float]] = {}
    for measured in folds.rounds.get(traffic, []):
        by_workers.setdefault(measured.workers, []).append(fold_plan.rate_with_cores(measured))
    return {workers: sum(rates) / len(rates) for workers, rates in by_workers.items()}


def _rounded(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: float(f"{v:.5g}") if isinstance(v, float) else v for name, v in values.items()}


def _micro(values: Mapping[str, float]) -> dict[str, float]:
    """Return seconds as µs, and bytes as they are."""
    return {
        name.removesuffix("_s") + "_us" if name.endswith("_s") else f"{name}_bytes":
        round(value * 1e6, 2) if name.endswith("_s") else round(value, 1)
        for name, value in values.items()
    }  # fmt: skip


def tables(result: dict[str, Any]) -> list[Table]:
    facts = result["machine"]
    folds = Table(
        title="Folds of 10,000 clicks, for each click",
        caption=f"{facts['cpu']}, {facts['cores']} cores; clicks/s as if no process waited for a core",
    )
    columns = ("traffic", "workers", "deltas_per_fold", "worker_us", "backend_us", "wal_bytes", "lock_us",
               "clicks_per_s_with_cores", "cores_of_others")  # fmt: skip
    for name in columns:
        folds.add_column(
            name.replace("_", " ").replace(" us", " µs"),
            justify="left" if name == "traffic" else "right",
        )
    for row in result["rounds"]:
        folds.add_row(*(f"{row[name]:,}" if name != "traffic" else row[name] for name in columns))
    held_out = Table(title="Predictions beside what was held out")
    for name in ("traffic", "workers", "quantity", "predicted", "measured", "error"):
        held_out.add_column(name, justify="left" if name in ("traffic", "quantity") else "right")
    for point in result["held_out"]:
        held_out.add_row(
            point["traffic"], str(point["workers"]), point["quantity"], f"{point['predicted']:,.2f}",
            f"{point['measured']:,.2f}", f"{point['error']:+.0%}",
        )  # fmt: skip
    return [folds, held_out]


def measurements(result: dict[str, Any]) -> list[Figure]:
    folds = [
        figure
        for row in result["rounds"]
        for figure in stated(
            row,
            (
                Key("worker_us", f"worker, {row['traffic']}, {row['workers']} workers", "µs", "lower"),
                Key("backend_us", f"Postgres, {row['traffic']}, {row['workers']} workers", "µs", "lower"),
                Key("wal_bytes", f"log, {row['traffic']}, {row['workers']} workers", "bytes", "lower"),
            ),
            prefix=f"{row['traffic']}/{row['workers']}/{row['clicks_per_fold']}/",
        )
    ]  # fmt: skip
    curve = [
        Figure(
            name=f"simulated/{workers}",
            title=f"{workers} workers",
            unit="/s",
            value=rate,
            better="higher",
            chart=f"Clicks a second by number of workers ({result['plan']['traffic']} traffic)",
            series="simulated",
            x=float(workers),
        )
        for workers, rate in result["simulated_clicks_per_s"].items()
    ]
    return (
        folds + curve + stated(result, (Key("log_mb_per_s", "log of this disk", "MB/s", "higher"),))
    )


@click.command(
    help="What counting takes, how it grows with workers, and where it ends: measured, simulated."
)
@click.option("--edges", type=click.IntRange(1, 1_000), default=100, show_default=True,
              help="edges that are asked about")  # fmt: skip
@click.option("--rate", type=click.IntRange(1_000, 10_000_000), default=1_000_000, show_default=True,
              help="clicks/s that are asked about")  # fmt: skip
@click.option("--traffic", "kind", type=click.Choice(sorted(set(TRAFFIC) & set(ENGINE_TRAFFIC))),
              default="flat", show_default=True, help="how clicks are spread over links")  # fmt: skip
@click.option("--postgres-cores", type=click.IntRange(1, 1_000), default=16, show_default=True,
              help="cores of the one Postgres")  # fmt: skip
@click.option("--quick", is_flag=True, help="measure less, in under a minute")
@click.option("--picture", "file", type=click.Path(dir_okay=False, writable=True, path_type=Path),
              help="write a picture of the run, as SVG")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="one JSON object as the last line")
@suite_options(
    "Rates of more workers than the machine has cores for are simulated from the costs that "
    "were measured. Networks, other disks and other versions of Postgres are not in the model.",
    None,
)
def command(
    edges: int, rate: int, kind: str, postgres_cores: int, quick: bool, file: Path | None, as_json: bool
) -> int:  # fmt: skip
    if quick and kind not in ENGINE_TRAFFIC[:2]:
        raise click.UsageError(f"--quick measures {' and '.join(ENGINE_TRAFFIC[:2])} traffic only")
    result = run(ScaleOptions(edges, rate, kind, postgres_cores, quick))
    svg = result.pop("picture")
    if file is not None:
        try:
            file.write_text(svg)
        except OSError as error:
            raise BenchError(f"the picture cannot be written: {error}") from None
    for table in tables(result):
        show(table)
    for sentence in result["answers"]:
        print(f"\n{sentence}")
    for failure in result["failures"]:
        print(f"FAILED: {failure}")
    return finish(result, result["failures"], measurements, as_json=as_json)
