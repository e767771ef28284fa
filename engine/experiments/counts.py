"""Counts of an experiment: of each variant, by phase and over time."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from engine.clicks.click import LAST_US, time_of
from engine.clicks.rollup import TIME_BUCKET_US
from engine.experiments.experiment import Variant
from engine.experiments.verdict.proportion import Proportion

BUCKET_S: Final = TIME_BUCKET_US // 1_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class VariantCounts(NamedTuple):
    """Counts of one variant. `exposures` and `outcomes` are clicks and views; `visitors` were exposed,
    `converted_visitors` had an outcome too. `multiple_exposures` are visitors who saw another variant as
    well, and are counted in none."""

    exposures: int = 0
    outcomes: int = 0
    visitors: int = 0
    converted_visitors: int = 0
    multiple_exposures: int = 0

    @property
    def proportion(self) -> Proportion:
        return Proportion(self.visitors, self.converted_visitors)


class PhaseCounts(NamedTuple):
    """The counts of one phase, in the order of its variants. `reason`: start, change or bandit."""

    number: int
    started_at: datetime
    reason: str
    variants: tuple[Variant, ...]
    counts: tuple[VariantCounts, ...]


class ConversionValue(NamedTuple):
    """Conversions of one variant with a value in one currency, and their sum as a decimal number."""

    variant: int
    currency: str
    conversions: int
    value: str


class ExperimentCounts(NamedTuple):
    """Phases, oldest first. `values` are of the requested phase; `unattributed` is the number of
    conversions of the experiment's clicks that came too late or whose visitors were not exposed."""

    phases: tuple[PhaseCounts, ...]
    values: tuple[ConversionValue, ...] = ()
    unattributed: int = 0


class CountsPoint(NamedTuple):
    """The running counts of each variant of a phase at one moment."""

    at: datetime
    counts: tuple[VariantCounts, ...]


def sum_counts(counts: Iterable[VariantCounts]) -> VariantCounts:
    columns = list(zip(*counts, strict=True))
    return VariantCounts(*map(sum, columns)) if columns else VariantCounts()


def counts_by_variant(
    counts: Mapping[int, VariantCounts], variants: int
) -> tuple[VariantCounts, ...]:
    """Return the counts of `variants` variants, zeros where nothing was counted."""
    return tuple(counts.get(number, VariantCounts()) for number in range(variants))


def bucket_length_s(seconds: float, points: int) -> int:
    """Return the length of a series' steps, in whole quarters of an hour, so that `seconds` take at most
    `points`."""
    buckets = int(seconds) // BUCKET_S + 1
    return -(-buckets // points) * BUCKET_S


def running_totals(
    counts_by_step: Mapping[int, Mapping[int, VariantCounts]],
    first: datetime,
    step_s: int,
    variants: int,
) -> list[CountsPoint]:
    """Return the running counts at the end of each step that has counts.

    `counts_by_step` is by the number of the step since `first`, then by variant.
    """
    points = []
    longest = time_of(LAST_US) - first
    total = counts_by_variant({}, variants)
    for step, counts in sorted(counts_by_step.items()):
        total = tuple(
            sum_counts(pair)
            for pair in zip(total, counts_by_variant(counts, variants), strict=True)
        )
        # The last step of a clock that is wrong may end beyond the calendar.
        length = min(timedelta(seconds=(step + 1) * step_s), longest)
        points.append(CountsPoint(first + length, total))
    return points


def bucket_of(at: datetime) -> datetime:
    """Return the start, in UTC, of the time bucket that `at` (aware) is in."""
    since = at - _EPOCH
    return _EPOCH + since - since % timedelta(seconds=BUCKET_S)
