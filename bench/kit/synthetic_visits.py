"""Simulated visitors of experiments, many experiments at once.

Counts are integer arrays of shape (experiments, variants, looks), cumulative over looks. All random numbers
come from the generator that the caller passes.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]

MAX_VISITS = 20
RETURN_WITHIN = 0.3  # of the experiment's length
CLICKS_AGAIN = 0.5  # probability that a visitor who has converted clicks at a later visit


class SimulatedLooks(NamedTuple):
    """Cumulative counts at each look: visitors and their conversions, visits and their clicks."""

    visitors: Counts
    conversions: Counts
    visits: Counts
    clicks: Counts


def returning(
    rng: np.random.Generator,
    experiments: int,
    visitors: int,
    looks: int,
    rate: float,
    share: float = 0.5,
) -> SimulatedLooks:
    """Return A/A experiments whose visitors come 1 to 20 times; the second variant gets `share` of them.

    Visitors arrive evenly over the looks, and their later visits fall within RETURN_WITHIN after the first. A
    proportion `rate` of them converts at one of their visits and may click at each later one. So a conversion
    may come many looks after the first visit, and the clicks of one visitor are correlated.
    """
    count = experiments * visitors
    arrival = rng.integers(0, looks, count)
    cell = np.arange(count) // visitors * 2 + (rng.random(count) < share)
    times = rng.integers(1, MAX_VISITS + 1, count)
    converts = rng.random(count) < rate

    first = np.cumsum(times) - times
    visitor = np.repeat(np.arange(count), times)
    look = arrival[visitor] + rng.integers(0, int(RETURN_WITHIN * looks) + 1, len(visitor))
    look[first] = arrival
    converters = np.flatnonzero(converts)
    primary = first[converters] + rng.integers(0, times[converters])
    conversion_look = np.full(count, -1)
    conversion_look[converters] = look[primary]

    converter_visits = np.flatnonzero(converts[visitor])
    later = look[converter_visits] > conversion_look[visitor[converter_visits]]
    again = converter_visits[later & (rng.random(len(converter_visits)) < CLICKS_AGAIN)]
    clicks = np.concatenate((primary, again))

    def summed(cells: Counts, at: Counts) -> Counts:
        in_time = at < looks
        sums = np.bincount(cells[in_time] * looks + at[in_time], minlength=experiments * 2 * looks)
        return sums.reshape(experiments, 2, looks).cumsum(axis=2)

    return SimulatedLooks(
        summed(cell, arrival),
        summed(cell[converters], conversion_look[converters]),
        summed(cell[visitor], look),
        summed(cell[visitor[clicks]], look[clicks]),
    )


def steady(
    rng: np.random.Generator,
    experiments: int,
    visitors: int,
    looks: int,
    rates: tuple[float, float],
) -> tuple[Counts, Counts]:
    """Return (visitors, conversions) with half of `visitors` in each variant, one visit each."""
    step = max(visitors // (2 * looks), 1)
    shape = (experiments, looks)
    conversions = np.stack([rng.binomial(step, rate, shape) for rate in rates], axis=1)
    exposed = np.broadcast_to(np.arange(1, looks + 1) * step, (experiments, 2, looks))
    return exposed, conversions.cumsum(axis=2)


def allocations(
    rng: np.random.Generator, experiments: int, step: int, looks: int, shares: list[float]
) -> Counts:
    """Return the visitors of each variant, `step` more in total at each look."""
    drawn = rng.multinomial(step, shares, (experiments, looks))
    return drawn.transpose(0, 2, 1).cumsum(axis=2)
