"""Service times of a fold as functions of its contents, fitted to rounds of folds.

A cost is a sum of parts: of the fold itself, of each click, delta, link and text in it, and of the square root
of its clicks, as Postgres adds the more pages at once to a table the more rows come. None is negative, as no
click makes a fold cheaper (scipy.optimize.nnls); errors are weighed relatively, so that small folds count as
much as large ones. What a fold took beside the fit is kept as a distribution of ratios, from which a
simulation draws.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np

from bench.scaling.click_records import FoldContent, mean_content
from bench.scaling.fold_rounds import Round
from bench.scaling.fold_worker import FoldSample

PARTS: Final = (
    "fold", "click", "delta", "link", "text", "new_link", "new_agent", "new_values", "root_of_clicks",
)  # fmt: skip


class LinearCost(NamedTuple):
    """Costs of each of PARTS, in s or bytes, and ratios of what folds took to what these say, ascending."""

    parts: tuple[float, ...]
    ratios: tuple[float, ...]

    def of(self, content: FoldContent) -> float:
        """Return the cost of a fold with this content."""
        return sum(part * amount for part, amount in zip(self.parts, amounts(content), strict=True))

    def named(self, unit: float) -> dict[str, float]:
        """Return the cost of each part in units of `unit`."""
        return {name: round(part / unit, 3) for name, part in zip(PARTS, self.parts, strict=True)}


class FoldCosts(NamedTuple):
    """Costs of folds. `read_s` and `redis_s` are for a byte of records, `ship_s` too; `background_s` is CPU of
    Postgres beside its backends, for a click.

    `worker_growth` and `postgres_growth`: how much more of its CPU a fold takes for each other worker that
    folds at the same time on its machine, or of the same Postgres.
    """

    worker: LinearCost
    postgres: LinearCost
    wal: LinearCost
    ship_s: float
    read_s: float
    redis_s: float
    background_s: float
    worker_growth: float = 0.0
    postgres_growth: float = 0.0


def amounts(content: FoldContent) -> tuple[float, ...]:
    """Return how much there is of each of PARTS."""
    return (1.0, *content[:-1], content.clicks**0.5)


def fit(samples: Sequence[tuple[FoldContent, float]]) -> LinearCost:
    """Fit a cost to pairs of (content, cost). Raises ValueError without a pair."""
    from scipy.optimize import nnls  # which takes half a second

    if not samples:
        raise ValueError("no fold was measured")
    costs = np.array([max(cost, 1e-12) for _, cost in samples])
    table = np.array([amounts(content) for content, _ in samples]) / costs[:, None]
    parts, _ = nnls(table, np.ones(len(costs)))
    ratios = sorted(float(ratio) for ratio in 1.0 / np.maximum(table @ parts, 1e-12))
    return LinearCost(tuple(float(part) for part in parts), tuple(ratios))


def fold_costs(rounds: Sequence[Round]) -> FoldCosts:
    """Return the costs as fitted to rounds of one worker, without growth."""
    samples = [sample for measured in rounds for sample in measured.samples]
    clicks = sum(measured.clicks for measured in rounds)
    size = sum(sample.content.bytes for sample in samples)
    backends_s = sum(sample.postgres_s for sample in samples)
    return FoldCosts(
        worker=fit([(sample.content, sample.worker_s) for sample in samples]),
        postgres=fit([(sample.content, sample.postgres_s) for sample in samples]),
        wal=fit([(content_of(measured), measured.wal_bytes / len(measured.samples)) for measured in rounds]),
        ship_s=sum(sample.ship_s for sample in samples) / size,
        read_s=sum(sample.read_s for sample in samples) / size,
        redis_s=sum(measured.redis_s for measured in rounds) / size,
        background_s=max(0.0, sum(measured.postgres_s for measured in rounds) - backends_s) / clicks,
    )  # fmt: skip


def content_of(measured: Round) -> FoldContent:
    """Return the mean content of a round's folds."""
    return mean_content([sample.content for sample in measured.samples])


def growth(rounds: Sequence[Round], cost: Callable[[FoldSample], float]) -> float:
    """Return by how much of its cost a fold grows with each other worker, from rounds of one kind of traffic
    with several numbers of workers: the slope of a line, 0 if it falls."""
    workers = [measured.workers - 1 for measured in rounds]
    per_click = [sum(map(cost, measured.samples)) / measured.clicks for measured in rounds]
    if len(set(workers)) < 2:
        return 0.0
    slope, alone = np.polyfit(workers, per_click, 1)
    return max(0.0, float(slope / alone))
