"""Comparison of two sets of results: which figures differ by more than noise explains.

Two samples of a figure are compared by Welch's t test, which does not ask for equal variances (Welch 1947). The
values of a sample are those of repeated runs, if each side has MIN_VALUES of them, otherwise the rounds of its
runs. Runs are the better sample: rounds share one process, so they miss what differs between two starts of a
program, such as the placement of its memory (Kalibera and Jones 2013, doi:10.1145/2464157.2464160). Hence a
change that only rounds show has to be larger to count.

A figure has changed if both hold:

- its p-value is below ALPHA after the correction of Holm (1979) for the number of figures that are compared: so
  about one comparison of equal programs in twenty has a false alarm, however many figures it has;
- the means differ by `least` of the first one.

Fewer than MIN_VALUES values on a side do not show their spread, and nobody can tell: with three, one comparison
in seven of equal programs had a false alarm in a simulation in which one value in six was a stall.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Final, Literal, NamedTuple

from bench.suite.result import BenchResult, Better, Figure

ALPHA: Final = 0.05
MIN_VALUES: Final = 5

Verdict = Literal["worse", "better", "changed", "within noise", "cannot tell"]


class Least(NamedTuple):
    """Least change that counts, as a share of the mean: by repeated runs, and by rounds of one run."""

    runs: float = 0.03
    rounds: float = 0.05


class FigureSample(NamedTuple):
    """Values of a figure in one file: of its repeated runs, or of the rounds of its runs."""

    values: tuple[float, ...]
    of_runs: bool

    @property
    def mean(self) -> float:
        return mean(self.values)


class WelchTest(NamedTuple):
    """Two-sided p-value, and the 95 % interval of the difference of the means."""

    p_value: float
    low: float
    high: float


class Difference(NamedTuple):
    """Figure in both files. `change`, `low`, `high` are shares of the first mean; None if nobody can tell."""

    benchmark: str
    figure: Figure
    before: FigureSample
    after: FigureSample
    change: float | None
    low: float | None
    high: float | None
    p_value: float | None
    verdict: Verdict


def samples(before: Sequence[Figure], after: Sequence[Figure]) -> tuple[FigureSample, FigureSample]:
    """Return the samples of a figure, from its occurrence in each run of both files."""
    if min(len(before), len(after)) >= MIN_VALUES:
        return _of_runs(before), _of_runs(after)
    return _of_rounds(before), _of_rounds(after)


def _of_runs(occurrences: Sequence[Figure]) -> FigureSample:
    return FigureSample(tuple(figure.value for figure in occurrences), of_runs=True)


def _of_rounds(occurrences: Sequence[Figure]) -> FigureSample:
    values = [value for figure in occurrences for value in figure.runs or (figure.value,)]
    return FigureSample(tuple(values), of_runs=False)


def welch(before: Sequence[float], after: Sequence[float]) -> WelchTest:
    """Compare the means of two samples of two values or more."""
    from scipy.special import stdtr, stdtrit  # 0.2 s, and a benchmark that runs needs none of it

    parts = [variance(values) / len(values) for values in (before, after)]
    difference = mean(after) - mean(before)
    error = math.sqrt(sum(parts))
    if error == 0.0:
        return WelchTest(1.0 if difference == 0.0 else 0.0, difference, difference)
    freedom = sum(parts) ** 2 / sum(
        part**2 / (len(values) - 1) for part, values in zip(parts, (before, after), strict=True)
    )
    p_value = 2 * float(stdtr(freedom, -abs(difference) / error))
    reach = float(stdtrit(freedom, 1 - ALPHA / 2)) * error
    return WelchTest(p_value, difference - reach, difference + reach)


def mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def variance(values: Sequence[float]) -> float:
    """Return the variance of a population of which two values or more are a sample."""
    middle = mean(values)
    return math.fsum((value - middle) ** 2 for value in values) / (len(values) - 1)


def holm(p_values: Sequence[float]) -> list[bool]:
    """Return for each p-value whether it is significant among all, at the level ALPHA."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    significant = [False] * len(p_values)
    for rank, index in enumerate(order):
        if p_values[index] > ALPHA / (len(p_values) - rank):
            break
        significant[index] = True
    return significant


def compare(
    pairs: Iterable[tuple[str, Sequence[Figure], Sequence[Figure]]], least: Least
) -> list[Difference]:
    """Compare figures, given as (benchmark, occurrences before, occurrences after). Keeps their order."""
    measured = [_measure(*pair) for pair in pairs]
    tested = [row for row in measured if row.p_value is not None]
    significant = dict(
        zip(map(id, tested), holm([row.p_value or 0.0 for row in tested]), strict=True)
    )
    return [
        row._replace(verdict=_verdict(row, least, significant=significant.get(id(row), False)))
        for row in measured
    ]


def _measure(benchmark: str, before: Sequence[Figure], after: Sequence[Figure]) -> Difference:
    first, second = samples(before, after)
    blank = Difference(benchmark, after[-1], first, second, None, None, None, None, "cannot tell")
    if min(len(first.values), len(second.values)) < MIN_VALUES:
        return blank
    test = welch(first.values, second.values)
    scale = abs(first.mean)
    difference = second.mean - first.mean
    shares = [
        value / scale if scale else math.copysign(math.inf, value) if value else 0.0
        for value in (difference, test.low, test.high)
    ]
    return blank._replace(
        change=shares[0], low=shares[1], high=shares[2], p_value=test.p_value
    )  # fmt: skip


def _verdict(row: Difference, least: Least, *, significant: bool) -> Verdict:
    if row.change is None:
        return "cannot tell"
    needed = least.runs if row.before.of_runs else least.rounds
    if not significant or abs(row.change) < needed:
        return "within noise"
    return direction(row.figure.better, row.change)


def direction(better: Better, change: float) -> Verdict:
    """Return what a change of a figure is."""
    if better == "neither":
        return "changed"
    return "better" if (change < 0) == (better == "lower") else "worse"


def new_failures(before: Sequence[BenchResult], after: Sequence[BenchResult]) -> list[str]:
    """Return what failed in the later runs of a benchmark, if none of the earlier ones failed."""
    if any(result.exit_code for result in before):
        return []
    lines = [line for result in after for line in (*result.failures, result.error) if line]
    return list(dict.fromkeys(lines))
