"""Experiments that are watched all day: `python -m bench peeking`.

Many experiments are simulated (seeded), looked at 1,000 times each, and every alarm at any look counts.

| key | definition |
|---|---|
| `verdicts` | A/A tests by rate and `share` of the second arm; visitors come 1 to 20 times, and convert late |
| `false_alarms` | part of them whose confidence sequence (unit: visitor) excluded 0 at any look |
| `without_floor` | of the sequence as published, without care about few conversions |
| `naive_visitors` | the same of a z test at 5 % over visitors, looked at as often |
| `naive_clicks`, `naive_clicks_once` | of one over visits and clicks; and looked at only at the end |
| `power` | tests whose treatment has 20 % more, sequence tuned to the size that a z test needs for 80 % |
| `fixed_visitors` | that size, both arms; `fixed_power` and `power_at_fixed` what z and sequence find by then |
| `power_at_end` | what the sequence finds by 3 times that size |
| `decided_after` | visitors until a sequence decided, in parts of that size: quartiles |
| `allocations` | healthy shares; `false_alarms` of the sequential multinomial test at 0.1 % at any look |
| `naive` | of a chi-square test, as often |
| `drop_found`, `drop_visitors` | with 10 % of the first arm's visitors lost: part found, visitors till then |
| `assignment_us` | CPU of making a visitor's key, and of assigning by it; `assignment_p` its allocation test |
| `look_ms` | one whole summary of ten arms |

The unit of all but `naive_clicks` is the visitor. Exit code 1 when a verdict's false alarms are above 5 %,
or an allocation's above 0.1 % by more than three standard errors.
"""

import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from bench.kit import naive_verdicts
from bench.kit.report import progress, show, write_json
from bench.load import synthetic_visits
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
Z_SQUARE = 3.841458820694124  # of 5 %, two-sided
LIFT = 0.2
HORIZON = 3  # times the planned size
DESIGNS = {"even": [0.5, 0.5], "90/10": [0.9, 0.1], "four": [0.25] * 4}
STEP_VISITORS = 20
DROPPED = 0.1
CHUNK = 20
ASSIGNED = 100_000


class PeekingOptions(NamedTuple):
    tests: int
    allocations: int
    visitors: int
    looks: int
    seed: int


class Bar:
    """How far it is; lines where there is no terminal."""

    def __init__(self) -> None:
        self._bar = Progress(
            TextColumn("{task.description} {task.percentage:3.0f} %"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
        ) if sys.stderr.isatty() else None  # fmt: skip

    @contextmanager
    def shown(self) -> Iterator["Bar"]:
        if self._bar is None:
            yield self
        else:
            with self._bar:
                yield self

    def chunks(self, name: str, total: int, size: int) -> Iterator[int]:
        """Sizes that sum to `total`."""
        if self._bar is None:
            progress(name)
        task = self._bar.add_task(name, total=total) if self._bar else None
        for start in range(0, total, size):
            yield min(size, total - start)
            if self._bar is not None and task is not None:
                self._bar.update(task, advance=size)


def verdicts(
    plan: PeekingOptions, rate: float, share: float, bar: Bar, rng: np.random.Generator
) -> dict[str, Any]:
    found = {
        "false_alarms": 0,
        "without_floor": 0,
        "naive_visitors": 0,
        "naive_clicks": 0,
        "naive_clicks_once": 0,
    }
    for size in bar.chunks(f"A/A tests at {rate:.1%}, share {share:.0%}", plan.tests, CHUNK):
        seen = synthetic_visits.returning(rng, size, plan.visitors, plan.looks, rate, share)
        log_e = naive_verdicts.sequence_log_e(
            seen.visitors, seen.conversions, ALPHA, DEFAULT_TUNING_VISITORS
        )
        naive_verdicts.agree(seen.visitors, seen.conversions, log_e, ALPHA, DEFAULT_TUNING_VISITORS)
        published = naive_verdicts.sequence_log_e(
            seen.visitors, seen.conversions, ALPHA, DEFAULT_TUNING_VISITORS, 0
        )
        by_click = naive_verdicts.z_square(seen.visits, seen.clicks) > Z_SQUARE
        by_visitor = naive_verdicts.z_square(seen.visitors, seen.conversions) > Z_SQUARE
        found["false_alarms"] += naive_verdicts.alarmed_experiments(log_e > -math.log(ALPHA))
        found["without_floor"] += naive_verdicts.alarmed_experiments(published > -math.log(ALPHA))
        found["naive_visitors"] += naive_verdicts.alarmed_experiments(by_visitor)
        found["naive_clicks"] += naive_verdicts.alarmed_experiments(by_click)
        found["naive_clicks_once"] += int(by_click[:, -1].sum())
    return {"rate": rate, "share": share} | {
        key: count / plan.tests for key, count in found.items()
    }


def powers(plan: PeekingOptions, rate: float, bar: Bar, rng: np.random.Generator) -> dict[str, Any]:
    planned = power.fixed_visitors(rate, LIFT)
    # The planned size is one of the looks.
    step = math.ceil(planned * HORIZON / (2 * plan.looks))
    look = min(math.ceil(planned / (2 * step)), plan.looks) - 1
    fixed, by_fixed, after = 0, 0, []
    for size in bar.chunks(f"tests with a lift at {rate:.1%}", plan.tests, 10 * CHUNK):
        exposed, converted = synthetic_visits.steady(
            rng, size, 2 * step * plan.looks, plan.looks, (rate, rate * (1 + LIFT))
        )
        log_e = naive_verdicts.sequence_log_e(exposed, converted, ALPHA, planned)
        naive_verdicts.agree(exposed, converted, log_e, ALPHA, planned)
        alarms = log_e > -math.log(ALPHA)
        first = np.where(alarms.any(axis=1), alarms.argmax(axis=1), plan.looks)
        after.append(first)
        by_fixed += int((first <= look).sum())
        fixed += int((naive_verdicts.z_square(exposed, converted)[:, look] > Z_SQUARE).sum())
    firsts = np.concatenate(after)
    quartiles = np.quantile((firsts + 1) * 2 * step / planned, (0.25, 0.5, 0.75))
    return {
        "rate": rate,
        "fixed_visitors": planned,
        "fixed_power": fixed / plan.tests,
        "power_at_fixed": by_fixed / plan.tests,
        "power_at_end": float((firsts < plan.looks).mean()),
        "decided_after": [round(float(q), 3) for q in quartiles],
    }


def allocated(
    plan: PeekingOptions, name: str, bar: Bar, rng: np.random.Generator
) -> dict[str, Any]:
    from scipy.special import chdtri

    wanted = DESIGNS[name]
    limit, critical = -math.log(srm.ALPHA), chdtri(len(wanted) - 1, srm.ALPHA)
    false, naive = 0, 0
    dropped: list[NDArray[np.int64]] = []
    kept = [wanted[0] * (1 - DROPPED), *wanted[1:]]
    for size in bar.chunks(f"allocations, {name}", plan.allocations, 10 * CHUNK):
        counts = synthetic_visits.allocations(rng, size, STEP_VISITORS, plan.looks, wanted)
        log_e = naive_verdicts.allocation_log_e(counts, wanted)
        naive_verdicts.agree_on_allocation(counts[:CHUNK], log_e[:CHUNK], wanted)
        false += naive_verdicts.alarmed_experiments(log_e > limit)
        naive += naive_verdicts.alarmed_experiments(
            naive_verdicts.chi_square(counts, wanted) > critical
        )
        if len(dropped) * CHUNK < plan.tests:
            broken = [share / sum(kept) for share in kept]
            counts = synthetic_visits.allocations(rng, CHUNK, STEP_VISITORS, plan.looks, broken)
            alarms = naive_verdicts.allocation_log_e(counts, wanted) > limit
            dropped.append(np.where(alarms.any(axis=1), alarms.argmax(axis=1), plan.looks))
    firsts = np.concatenate(dropped)
    median = np.median(firsts)
    return {
        "shares": name,
        "false_alarms": false / plan.allocations,
        "naive": naive / plan.allocations,
        "drop_found": float((firsts < plan.looks).mean()),
        "drop_visitors": int((median + 1) * STEP_VISITORS) if median < plan.looks else None,
    }


def assigned() -> dict[str, Any]:
    """What assignment costs, and whether it gives each variant its share."""
    weights = [0.5, 0.3, 0.2]
    variants = tuple(
        Variant(name=name, weight=weight, target="https://example.org/")
        for name, weight in zip("abc", weights, strict=True)
    )
    experiment = Experiment(
        id=1, name="bench", kind="destination", link_id=1, seed="8c1f6d0e", state="running",
        variants=variants,
    )  # fmt: skip
    people = [f"203.0.113.{n % 256}\nMozilla/5.0 {n}".encode() for n in range(ASSIGNED)]
    counts = [0] * len(weights)
    started = time.process_time()
    keys = [hash_key(b"bench", person) for person in people]
    keyed = time.process_time()
    for key in keys:
        found = assign(experiment, AssignmentContext(key, 0)).variant
        if found is not None:
            counts[found] += 1
    ended = time.process_time()
    us = 1e6 / ASSIGNED
    return {
        "assignment_us": [round((keyed - started) * us, 2), round((ended - keyed) * us, 2)],
        "assignment_p": round(srm.srm_test(counts, shares(weights)).p_value, 4),
    }


def look_ms() -> float:
    arms = [Proportion(20_000, 900 + 10 * n) for n in range(10)]
    analyse(arms, [0.1] * 10)
    started = time.process_time()
    for _ in range(10):
        analyse(arms, [0.1] * 10)
    return round((time.process_time() - started) * 1e3 / 10, 2)


def run(plan: PeekingOptions) -> dict[str, Any]:
    """Raises BenchError when the arrays say something else than the engine."""
    started = time.monotonic()
    rng = np.random.default_rng(plan.seed)
    with Bar().shown() as bar:
        found = {
            "benchmark": "peeking",
            **plan._asdict(),
            "verdicts": [
                verdicts(plan, rate, share, bar, rng) for share in SHARES for rate in RATES
            ],
            "power": [powers(plan, rate, bar, rng) for rate in RATES],
            "srm": [allocated(plan, name, bar, rng) for name in DESIGNS],
        }
    found |= assigned() | {"look_ms": look_ms()}
    return found | {"seconds": round(time.monotonic() - started, 1)}


def failures(result: dict[str, Any]) -> list[str]:
    found = [
        f"{row['false_alarms']:.2%} false alarms at a rate of {row['rate']:.1%}, share {row['share']:.0%}"
        for row in result["verdicts"]
        if row["false_alarms"] > ALPHA
    ]
    alpha = srm.ALPHA
    error = math.sqrt(alpha * (1 - alpha) / result["allocations"])
    return found + [
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
        figures = (f"{row[key]:.2%}" for key in keys)
        alarms.add_row(f"{row['rate']:.1%}", f"{row['share']:.0%}", *figures)
    lifts = Table(title=f"A lift of {LIFT:.0%}, sequence against a z test at its planned size")
    for column in ("rate", "planned", "z", "sequence by then", f"by {HORIZON}x", "decides after"):
        lifts.add_column(column, justify="right")
    for row in result["power"]:
        after = " / ".join(f"{part:.2f}" for part in row["decided_after"])
        figures = (f"{row[key]:.1%}" for key in ("fixed_power", "power_at_fixed", "power_at_end"))
        lifts.add_row(f"{row['rate']:.1%}", f"{row['fixed_visitors']:,}", *figures, after)
    ratio = Table(title=f"Alarms of {result['allocations']:,} healthy allocations each")
    for column in ("shares", "sequential", "chi-square", f"{DROPPED:.0%} dropped", "visitors"):
        ratio.add_column(column, justify="right")
    for row in result["srm"]:
        till_then = row["drop_visitors"]
        ratio.add_row(
            row["shares"], f"{row['false_alarms']:.3%}", f"{row['naive']:.3%}",
            f"{row['drop_found']:.0%}", f"{till_then:,}" if till_then else "",
        )  # fmt: skip
    return [alarms, lifts, ratio]


@click.command(help="False alarms of watched experiments; exit code 1 if above the level.")
@click.option("--tests", type=click.IntRange(20, 100_000), default=2000, show_default=True)
@click.option(
    "--allocations", type=click.IntRange(20, 1_000_000), default=20_000, show_default=True
)
@click.option("--visitors", type=click.IntRange(100, 1_000_000), default=10_000, show_default=True,
              help="of each A/A test")  # fmt: skip
@click.option("--looks", type=click.IntRange(10, 10_000), default=1000, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="one JSON object as the last line")
def command(
    tests: int, allocations: int, visitors: int, looks: int, seed: int, as_json: bool
) -> int:
    result = run(PeekingOptions(tests, allocations, visitors, looks, seed))
    for table in tables(result):
        show(table)
    key_us, assign_us = result["assignment_us"]
    print(f"One assignment: {assign_us} µs, and {key_us} µs for the key. ", end="")
    print(f"One look at ten arms: {result['look_ms']} ms.")
    wrong = failures(result)
    print("FAILED: " + ", ".join(wrong) if wrong else "No more false alarms than promised.")
    if as_json:
        write_json(result)
    return 1 if wrong else 0
