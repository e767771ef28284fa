"""What an experiment has counted: of each arm, of a phase, over time."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from engine.experiment import Variant
from engine.rollup import BUCKET_US
from engine.verdict.arm import Arm

BUCKET_S: Final = BUCKET_US // 1_000_000


class Counts(NamedTuple):
    """Of one arm. `exposures` and `outcomes` are clicks and views; `visitors` are those exposed, `converted`
    those of them with an outcome; `crossed` were seen in another arm too, and are in neither."""

    exposures: int = 0
    outcomes: int = 0
    visitors: int = 0
    converted: int = 0
    crossed: int = 0

    @property
    def arm(self) -> Arm:
        return Arm(self.visitors, self.converted)


class Phase(NamedTuple):
    """A stretch of an experiment with the same variants and weights. `reason`: start, change or bandit."""

    number: int
    started_at: datetime
    reason: str
    variants: tuple[Variant, ...]
    counts: tuple[Counts, ...]


class Value(NamedTuple):
    """Conversions of one arm with a value in one currency, and their sum as a decimal number."""

    arm: int
    currency: str
    conversions: int
    value: str


class Tally(NamedTuple):
    """Phases, oldest first. `values` are of the phase asked for; `unattributed` is how many conversions
    of the experiment's clicks came too late or of visitors who were not exposed."""

    phases: tuple[Phase, ...]
    values: tuple[Value, ...] = ()
    unattributed: int = 0


class Point(NamedTuple):
    """What had been counted of each arm of a phase by the end of one bucket of time."""

    at: datetime
    counts: tuple[Counts, ...]


def summed(counts: Iterable[Counts]) -> Counts:
    columns = list(zip(*counts, strict=True))
    return Counts(*map(sum, columns)) if columns else Counts()


def by_arm(found: Mapping[int, Counts], arms: int) -> tuple[Counts, ...]:
    """Counts of each arm, zeros where nothing was counted."""
    return tuple(found.get(arm, Counts()) for arm in range(arms))


def stretch_s(seconds: float, points: int) -> int:
    """The length of each of at most so many stretches of a time, in whole quarters of an hour."""
    buckets = int(seconds) // BUCKET_S + 1
    return -(-buckets // points) * BUCKET_S


def running(
    found: Mapping[int, Mapping[int, Counts]], first: datetime, step_s: int, arms: int
) -> list[Point]:
    """Sums up to the end of each stretch that has any counts; `found` is by stretch and arm."""
    points = []
    total = by_arm({}, arms)
    for stretch, counts in sorted(found.items()):
        total = tuple(summed(pair) for pair in zip(total, by_arm(counts, arms), strict=True))
        points.append(Point(first + timedelta(seconds=(stretch + 1) * step_s), total))
    return points
