"""False alarms and power of experiments that are looked at all the time: `python -m bench peeking`.

Simulates many experiments (seeded) and looks at each 1,000 times. An alarm at any look counts. Visitors come 1 to 20
times and may convert late.

| key | definition |
|---|---|
| `verdicts` | A/A tests, by conversion rate and `share` of the second variant |
| `false_alarms` | proportion of them whose confidence sequence (unit: visitor) excluded 0 at any look |
| `without_floor` | this proportion for the sequence as published, without the floor for few conversions |
| `naive_visitors` | this proportion for a z test at 5 % over visitors, at every look |
| `naive_clicks`, `naive_clicks_once` | this proportion for a z test over visits and clicks, at every look; and at the last look only |
| `power` | tests with a lift of 20 %; the sequence is tuned to the planned size, with which a z test has a power of 80 % |
| `fixed_visitors` | the planned size: visitors of both variants |
| `fixed_power`, `power_at_fixed` | proportion of lifts that the z test and the sequence detect at the planned size |
| `power_at_end` | proportion of lifts that the sequence detects by 3 times the planned size |
| `decided_after` | visitors until the sequence detects the lift, in multiples of the planned size: quartiles |
| `srm` | assignments as the weights say; `false_alarms` of the sequential multinomial test at 0.1 % at any look |
| `naive` | proportion of false alarms of a chi-square test at every look |
| `drop_found`, `drop_visitors` | with 10 % of the first variant's visitors lost: proportion of alarms, median of visitors until the alarm |
| `assignment_us` | CPU time for the hash key of a visitor, and for the assignment, µs; `assignment_p` is the SRM p-value of the assignments |
| `look_ms` | CPU time of one analysis of ten variants |

Exit code 1 when `false_alarms` of verdicts are above 5 %, or those of `srm` above 0.1 % by more than three
standard errors.
"""  # noqa: E501  # a table row cannot be wrapped

import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from bench.kit import naive_verdicts, synthetic_visits
from bench.kit.report import progress, show
from bench.suite.options import finish, suite_options
from bench.suite.result import Better, Figure, Key, stated
from engine.experiments.assignment import AssignmentContext, assign, hash_key
from engine.experiments.bucketing import shares
from engine.experiments.experiment import Experiment, Variant
from engine.experiments.verdict import power, srm
from engine.experiments.verdict.confidence_sequence import DEFAULT_TUNING_VISITORS
from engine.experiments.verdict.proportion import Proportion
from engine.experiments.verdict.summary import analyse

RATES = (0.005, 0.02, 0.05, 0.3)
SHARES = (0.5, 0.1)
ALPHA = 0.05
Z_SQUARE = 3.841458820694124  # at 5 %, two-sided
LIFT = 0.2
HORIZON = 3  # times the planned size
DESIGNS = {"even": [0.5, 0.5], "90/10": [0.9, 0.1], "four": [0.25] * 4}
STEP_VISITORS = 20
DROPPED = 0.1
CHUNK = 20
ASSIGNED = 100_000
# Keys of shares: key, series of the chart, direction. Those of z tests are what others do.
_ALARMS: Final[tuple[tuple[str, str, Better], ...]] = (
    ("false_alarms", "confidence sequence", "lower"),
    ("naive_visitors", "z test at every look", "neither"),
)
_DETECTIONS: Final[tuple[tuple[str, str, Better], ...]] = (
    ("power_at_fixed", "sequence, planned size", "higher"),
    ("power_at_end", f"sequence, {HORIZON} times the size", "higher"),
    ("fixed_power", "z test, planned size", "neither"),
)


class PeekingOptions(NamedTuple):
    """Options of the command line. `visitors` is the size of each A/A test."""

    tests: int
    allocations: int
    visitors: int
    looks: int
    seed: int


class ProgressBar:
    """Progress in per cent on a terminal; elsewhere one line per group of experiments."""

    def __init__(self) -> None:
        self._bar = Progress(
            TextColumn("{task.description} {task.percentage:3.0f} %"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
        ) if sys.stderr.isatty() else None  # fmt: skip

    @contextmanager
    def display(self) -> Iterator["ProgressBar"]:
        if self._bar is None:
            yield self
        else:
            with self._bar:
                yield self

    def chunks(self, name: str, total: int, size: int) -> Iterator[int]:
        """Yield chunk sizes that sum to `total`, each at most `size`."""
        if self._bar is None:
            progress(name)
        task = self._bar.add_task(name, total=total) if self._bar else None
        for start in range(0, total, size):
            yield min(size, total - start)
            if self._bar is not None and task is not None:
                self._bar.update(task, advance=size)


def measure_false_alarms(
    plan: PeekingOptions, rate: float, share: float, bar: ProgressBar, rng: np.random.Generator
) -> dict[str, Any]:
    alarm_counts = {
        "false_alarms": 0,
        "without_floor": 0,
        "naive_visitors": 0,
        "naive_clicks": 0,
        "naive_clicks_once": 0,
    }
    for size in bar.chunks(f"A/A tests at {rate:.1%}, share {share:.0%}", plan.tests, CHUNK):
        looks = synthetic_visits.returning(rng, size, plan.visitors, plan.looks, rate, share)
        log_e = naive_verdicts.sequence_log_e(
            looks.visitors, looks.conversions, ALPHA, DEFAULT_TUNING_VISITORS
        )
        naive_verdicts.check_agreement(
            looks.visitors, looks.conversions, log_e, ALPHA, DEFAULT_TUNING_VISITORS
        )
        published = naive_verdicts.sequence_log_e(
            looks.visitors, looks.conversions, ALPHA, DEFAULT_TUNING_VISITORS, 0
        )
        click_alarms = naive_verdicts.z_square(looks.visits, looks.clicks) > Z_SQUARE
        visitor_alarms = naive_verdicts.z_square(looks.visitors, looks.conversions) > Z_SQUARE
        alarm_counts["false_alarms"] += naive_verdicts.alarmed_experiments(log_e > -math.log(ALPHA))
        alarm_counts["without_floor"] += naive_verdicts.alarmed_experiments(
            published > -math.log(ALPHA)
        )
        alarm_counts["naive_visitors"] += naive_verdicts.alarmed_experiments(visitor_alarms)
        alarm_counts["naive_clicks"] += naive_verdicts.alarmed_experiments(click_alarms)
        alarm_counts["naive_clicks_once"] += int(click_alarms[:, -1].sum())
    return {"rate": rate, "share": share} | {
        key: count / plan.tests for key, count in alarm_counts.items()
    }


def measure_power(
    plan: PeekingOptions, rate: float, bar: ProgressBar, rng: np.random.Generator
) -> dict[str, Any]:
    planned = power.fixed_visitors(rate, LIFT)
    # The planned size is one of the looks.
    step = math.ceil(planned * HORIZON / (2 * plan.looks))
    planned_look = min(math.ceil(planned / (2 * step)), plan.looks) - 1
    z_alarms, sequence_alarms, decision_looks = 0, 0, []
    for size in bar.chunks(f"tests with a lift at {rate:.1%}", plan.tests, 10 * CHUNK):
        exposed, converted = synthetic_visits.steady(
            rng, size, 2 * step * plan.looks, plan.looks, (rate, rate * (1 + LIFT))
        )
        log_e = naive_verdicts.sequence_log_e(exposed, converted, ALPHA, planned)
        naive_verdicts.check_agreement(exposed, converted, log_e, ALPHA, planned)
        alarms = log_e > -math.log(ALPHA)
        first = np.where(alarms.any(axis=1), alarms.argmax(axis=1), plan.looks)
        decision_looks.append(first)
        sequence_alarms += int((first <= planned_look).sum())
        z_alarms += int(
            (naive_verdicts.z_square(exposed, converted)[:, planned_look] > Z_SQUARE).sum()
        )
    firsts = np.concatenate(decision_looks)
    quartiles = np.quantile((firsts + 1) * 2 * step / planned, (0.25, 0.5, 0.75))
    return {
        "rate": rate,
        "fixed_visitors": planned,
        "fixed_power": z_alarms / plan.tests,
        "power_at_fixed": sequence_alarms / plan.tests,
        "power_at_end": float((firsts < plan.looks).mean()),
        "decided_after": [round(float(q), 3) for q in quartiles],
    }


def measure_allocations(
    plan: PeekingOptions, name: str, bar: ProgressBar, rng: np.random.Generator
) -> dict[str, Any]:
    from scipy.special import chdtri

    design = DESIGNS[name]
    limit, critical = -math.log(srm.ALPHA), chdtri(len(design) - 1, srm.ALPHA)
    sequential_alarms, naive_alarms = 0, 0
    detection_looks: list[NDArray[np.int64]] = []
    kept_weights = [design[0] * (1 - DROPPED), *design[1:]]
    for size in bar.chunks(f"allocations, {name}", plan.allocations, 10 * CHUNK):
        counts = synthetic_visits.allocations(rng, size, STEP_VISITORS, plan.looks, design)
        log_e = naive_verdicts.allocation_log_e(counts, design)
        naive_verdicts.check_allocation_agreement(counts[:CHUNK], log_e[:CHUNK], design)
        sequential_alarms += naive_verdicts.alarmed_experiments(log_e > limit)
        naive_alarms += naive_verdicts.alarmed_experiments(
            naive_verdicts.chi_square(counts, design) > critical
        )
        if len(detection_looks) * CHUNK < plan.tests:
            broken_shares = [share / sum(kept_weights) for share in kept_weights]
            counts = synthetic_visits.allocations(
                rng, CHUNK, STEP_VISITORS, plan.looks, broken_shares
            )
            alarms = naive_verdicts.allocation_log_e(counts, design) > limit
            detection_looks.append(np.where(alarms.any(axis=1), alarms.argmax(axis=1), plan.looks))
    firsts = np.concatenate(detection_looks)
    median = np.median(firsts)
    return {
        "shares": name,
        "false_alarms": sequential_alarms / plan.allocations,
        "naive": naive_alarms / plan.allocations,
        "drop_found": float((firsts < plan.looks).mean()),
        "drop_visitors": int((median + 1) * STEP_VISITORS) if median < plan.looks else None,
    }


def measure_assignment() -> dict[str, Any]:
    """Return `assignment_us` and `assignment_p`."""
    weights = [0.5, 0.3, 0.2]
    variants = tuple(
        Variant(name=name, weight=weight, target="https://example.org/")
        for name, weight in zip("abc", weights, strict=True)
    )
    experiment = Experiment(
        id=1, name="bench", kind="destination", link_id=1, seed="8c1f6d0e", state="running",
        variants=variants,
    )  # fmt: skip
    visitors = [f"203.0.113.{n % 256}\nMozilla/5.0 {n}".encode() for n in range(ASSIGNED)]
    counts = [0] * len(weights)
    started = time.process_time()
    hash_keys = [hash_key(b"bench", visitor) for visitor in visitors]
    hashed = time.process_time()
    for visitor_key in hash_keys:
        variant = assign(experiment, AssignmentContext(visitor_key, 0)).variant
        if variant is not None:
            counts[variant] += 1
    ended = time.process_time()
    us = 1e6 / ASSIGNED
    return {
        "assignment_us": [round((hashed - started) * us, 2), round((ended - hashed) * us, 2)],
        "assignment_p": round(srm.srm_test(counts, shares(weights)).p_value, 4),
    }


def measure_look_ms() -> float:
    variants = [Proportion(20_000, 900 + 10 * n) for n in range(10)]
    analyse(variants, [0.1] * 10)
    started = time.process_time()
    for _ in range(10):
        analyse(variants, [0.1] * 10)
    return round((time.process_time() - started) * 1e3 / 10, 2)


def run(plan: PeekingOptions) -> dict[str, Any]:
    """Run the benchmark and return its result.

    Raises BenchError when the vectorised formulas differ from the engine's.
    """
    started = time.monotonic()
    rng = np.random.default_rng(plan.seed)
    with ProgressBar().display() as bar:
        result = {
            "benchmark": "peeking",
            **plan._asdict(),
            "verdicts": [
                measure_false_alarms(plan, rate, share, bar, rng)
                for share in SHARES
                for rate in RATES
            ],
            "power": [measure_power(plan, rate, bar, rng) for rate in RATES],
            "srm": [measure_allocations(plan, name, bar, rng) for name in DESIGNS],
        }
    result |= measure_assignment() | {"look_ms": measure_look_ms()}
    return result | {"seconds": round(time.monotonic() - started, 1)}


def failures(result: dict[str, Any]) -> list[str]:
    wrong = [
        f"{row['false_alarms']:.2%} false alarms at a rate of {row['rate']:.1%}, share {row['share']:.0%}"
        for row in result["verdicts"]
        if row["false_alarms"] > ALPHA
    ]
    alpha = srm.ALPHA
    error = math.sqrt(alpha * (1 - alpha) / result["allocations"])
    return wrong + [
        f"{row['false_alarms']:.3%} false alarms of allocations ({row['shares']})"
        for row in result["srm"]
        if row["false_alarms"] > alpha + 3 * error
    ]


def tables(result: dict[str, Any]) -> list[Table]:
    alarms = Table(
        title=f"False alarms of {result['tests']:,} A/A tests in {result['looks']:,} looks"
    )
    for column in (
        "rate",
        "share",
        "sequence",
        "no floor",
        "z",
        "z, clicks",
        "z, clicks, one look",
    ):
        alarms.add_column(column, justify="right")
    keys = ("false_alarms", "without_floor", "naive_visitors", "naive_clicks", "naive_clicks_once")
    for row in result["verdicts"]:
        cells = (f"{row[key]:.2%}" for key in keys)
        alarms.add_row(f"{row['rate']:.1%}", f"{row['share']:.0%}", *cells)
    lifts = Table(title=f"A lift of {LIFT:.0%}, sequence against a z test at its planned size")
    for column in ("rate", "planned", "z", "sequence by then", f"by {HORIZON}x", "decides after"):
        lifts.add_column(column, justify="right")
    for row in result["power"]:
        after = " / ".join(f"{part:.2f}" for part in row["decided_after"])
        cells = (f"{row[key]:.1%}" for key in ("fixed_power", "power_at_fixed", "power_at_end"))
        lifts.add_row(f"{row['rate']:.1%}", f"{row['fixed_visitors']:,}", *cells, after)
    ratio = Table(title=f"Alarms of {result['allocations']:,} healthy allocations each")
    for column in ("shares", "sequential", "chi-square", f"{DROPPED:.0%} dropped", "visitors"):
        ratio.add_column(column, justify="right")
    for row in result["srm"]:
        visitors = row["drop_visitors"]
        ratio.add_row(
            row["shares"], f"{row['false_alarms']:.3%}", f"{row['naive']:.3%}",
            f"{row['drop_found']:.0%}", f"{visitors:,}" if visitors else "",
        )  # fmt: skip
    return [alarms, lifts, ratio]


def measurements(result: dict[str, Any]) -> list[Figure]:
    alarms, detected = "False alarms of A/A tests", f"Lifts of {LIFT:.0%} that are detected"
    shares = [
        (f"{row['rate']:.1%}, share {row['share']:.0%}", alarms, series, row[key], better)
        for row in result["verdicts"]
        for key, series, better in _ALARMS
    ]
    shares += [
        (f"{row['rate']:.1%}", detected, series, row[key], better)
        for row in result["power"]
        for key, series, better in _DETECTIONS
    ]
    hash_us, assign_us = result["assignment_us"]
    times = {"hash_us": hash_us, "assign_us": assign_us, "look_ms": result["look_ms"]}
    return [
        Figure(
            name=f"{chart}/{title}/{series}",
            title=title,
            unit="%",
            value=100 * share,
            better=better,
            chart=chart,
            series=series,
        )
        for title, chart, series, share, better in shares
    ] + stated(
        times,
        (
            Key("hash_us", "hash key of a visitor", "µs", "lower"),
            Key("assign_us", "assignment of a visitor", "µs", "lower"),
            Key("look_ms", "analysis of ten variants", "ms", "lower"),
        ),
    )


@click.command(help="False alarms of experiments at many looks; exit code 1 if above the level.")
@click.option("--tests", type=click.IntRange(20, 100_000), default=2000, show_default=True)
@click.option(
    "--allocations", type=click.IntRange(20, 1_000_000), default=20_000, show_default=True
)
@click.option("--visitors", type=click.IntRange(100, 1_000_000), default=10_000, show_default=True,
              help="visitors of each A/A test")  # fmt: skip
@click.option("--looks", type=click.IntRange(10, 10_000), default=1000, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="one JSON object as the last line")
@suite_options(
    "Visitors are simulated: each converts by chance and by nothing else, and comes alone. Real "
    "visitors change by weekday and season, and bots are among them.",
    {"tests": 200, "allocations": 2_000, "visitors": 2_000, "looks": 100},
)
def command(
    tests: int, allocations: int, visitors: int, looks: int, seed: int, as_json: bool
) -> int:
    result = run(PeekingOptions(tests, allocations, visitors, looks, seed))
    for table in tables(result):
        show(table)
    key_us, assign_us = result["assignment_us"]
    print(f"One assignment: {assign_us} µs, and {key_us} µs for the hash key. ", end="")
    print(f"One look at ten variants: {result['look_ms']} ms.")
    wrong = failures(result)
    print("FAILED: " + ", ".join(wrong) if wrong else "False alarms are at or below their level.")
    return finish(result, wrong, measurements, as_json=as_json)
