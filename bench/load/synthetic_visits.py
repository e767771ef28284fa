"""Simulated visitors of experiments, many experiments at once.

Counts are integer arrays of shape (experiments, arms, looks), each the sum up to that look. All
draws come from the generator that is handed in.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]

MAX_VISITS = 20
RETURN_WITHIN = 0.3  # of the whole time
CLICKS_AGAIN = 0.5  # chance that who has converted clicks at a later visit


class SimulatedLooks(NamedTuple):
    """What there is to see at each look: by visitors, and by visits and clicks."""

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
    """Experiments of two arms without any difference, whose visitors come 1 to 20 times.
    The second arm gets `share` of them.

    Visitors arrive evenly over the looks; whoever comes more than once comes again within 0.3 of the
    whole time. A part `rate` of them converts, at one of their visits, and may click again at each that
    is later. So a conversion may be late by many looks, and clicks of one visitor are alike.
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
    who = np.flatnonzero(converts)
    primary = first[who] + rng.integers(0, times[who])
    conversion_look = np.full(count, -1)
    conversion_look[who] = look[primary]

    theirs = np.flatnonzero(converts[visitor])
    later = look[theirs] > conversion_look[visitor[theirs]]
    again = theirs[later & (rng.random(len(theirs)) < CLICKS_AGAIN)]
    clicks = np.concatenate((primary, again))

    def summed(cells: Counts, at: Counts) -> Counts:
        seen = at < looks
        found = np.bincount(cells[seen] * looks + at[seen], minlength=experiments * 2 * looks)
        return found.reshape(experiments, 2, looks).cumsum(axis=2)

    return SimulatedLooks(
        summed(cell, arrival),
        summed(cell[who], conversion_look[who]),
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
    """Visitors and conversions where half of `visitors` see each arm, who come once."""
    step = max(visitors // (2 * looks), 1)
    shape = (experiments, looks)
    conversions = np.stack([rng.binomial(step, rate, shape) for rate in rates], axis=1)
    exposed = np.broadcast_to(np.arange(1, looks + 1) * step, (experiments, 2, looks))
    return exposed, conversions.cumsum(axis=2)


def allocations(
    rng: np.random.Generator, experiments: int, step: int, looks: int, shares: list[float]
) -> Counts:
    """Visitors of each arm, `step` more at each look."""
    drawn = rng.multinomial(step, shares, (experiments, looks))
    return drawn.transpose(0, 2, 1).cumsum(axis=2)
