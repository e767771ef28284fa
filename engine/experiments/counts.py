"""What an experiment has counted: of each arm, of a phase, over time."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from engine.clicks.rollup import TIME_BUCKET_US
from engine.experiments.experiment import Variant
from engine.experiments.verdict.proportion import Proportion

BUCKET_S: Final = TIME_BUCKET_US // 1_000_000


class VariantCounts(NamedTuple):
    """Of one arm. `exposures` and `outcomes` are clicks and views; `visitors` are those exposed, `converted`
    those of them with an outcome; `crossed` were seen in another arm too, and are in neither."""

    exposures: int = 0
    outcomes: int = 0
    visitors: int = 0
    converted_visitors: int = 0
    multiple_exposures: int = 0

    @property
    def proportion(self) -> Proportion:
        return Proportion(self.visitors, self.converted_visitors)


class PhaseCounts(NamedTuple):
    """A stretch of an experiment with the same variants and weights. `reason`: start, change or bandit."""

    number: int
    started_at: datetime
    reason: str
    variants: tuple[Variant, ...]
    counts: tuple[VariantCounts, ...]


class ConversionValue(NamedTuple):
    """Conversions of one arm with a value in one currency, and their sum as a decimal number."""

    arm: int
    currency: str
    conversions: int
    value: str


class ExperimentCounts(NamedTuple):
    """Phases, oldest first. `values` are of the phase asked for; `unattributed` is how many conversions
    of the experiment's clicks came too late or of visitors who were not exposed."""

    phases: tuple[PhaseCounts, ...]
    values: tuple[ConversionValue, ...] = ()
    unattributed: int = 0


class CountsPoint(NamedTuple):
    """What had been counted of each arm of a phase by the end of one bucket of time."""

    at: datetime
    counts: tuple[VariantCounts, ...]


def sum_counts(counts: Iterable[VariantCounts]) -> VariantCounts:
    columns = list(zip(*counts, strict=True))
    return VariantCounts(*map(sum, columns)) if columns else VariantCounts()


def counts_by_variant(found: Mapping[int, VariantCounts], arms: int) -> tuple[VariantCounts, ...]:
    """Counts of each arm, zeros where nothing was counted."""
    return tuple(found.get(arm, VariantCounts()) for arm in range(arms))


def bucket_length_s(seconds: float, points: int) -> int:
    """The length of each of at most so many stretches of a time, in whole quarters of an hour."""
    buckets = int(seconds) // BUCKET_S + 1
    return -(-buckets // points) * BUCKET_S


def running_totals(
    found: Mapping[int, Mapping[int, VariantCounts]], first: datetime, step_s: int, arms: int
) -> list[CountsPoint]:
    """Sums up to the end of each stretch that has any counts; `found` is by stretch and arm."""
    points = []
    total = counts_by_variant({}, arms)
    for stretch, counts in sorted(found.items()):
        total = tuple(
            sum_counts(pair) for pair in zip(total, counts_by_variant(counts, arms), strict=True)
        )
        points.append(CountsPoint(first + timedelta(seconds=(stretch + 1) * step_s), total))
    return points
