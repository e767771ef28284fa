"""Contents of folds of a kind of traffic, by the number of their clicks."""

from bisect import bisect_left
from functools import cache
from typing import Final, NamedTuple

from bench.scaling.click_records import BatchShape, ClickMaker, FoldContent, mean_content

SIZES: Final = (1, 10, 100, 1_000, 10_000)
SEED: Final = 7
_MADE_OF_SMALL: Final = 20
_MADE_OF_LARGE: Final = 4


class TrafficContents(NamedTuple):
    """Contents of folds with SIZES clicks, from which others follow by interpolation."""

    contents: tuple[FoldContent, ...]

    def at(self, clicks: float) -> FoldContent:
        """Return the content of a fold of `clicks`. Beyond the largest size it grows in proportion."""
        sizes = [content.clicks for content in self.contents]
        upper = bisect_left(sizes, clicks)
        if upper == 0 or upper == len(sizes):
            nearest = self.contents[min(upper, len(sizes) - 1)]
            return FoldContent(*(value * clicks / nearest.clicks for value in nearest))
        low, high = self.contents[upper - 1], self.contents[upper]
        part = (clicks - low.clicks) / (high.clicks - low.clicks)
        return FoldContent(*(a + (b - a) * part for a, b in zip(low, high, strict=True)))


@cache
def traffic_contents(traffic: str) -> TrafficContents:
    """Return the contents of a kind of traffic (bench/kit/traffic.py), counted in made-up clicks."""
    contents = []
    for size in SIZES:
        maker = ClickMaker(BatchShape(size, traffic=traffic), SEED)
        made = [
            maker.records()[0] for _ in range(_MADE_OF_SMALL if size <= 100 else _MADE_OF_LARGE)
        ]
        # The first ones know no link yet.
        contents.append(mean_content(made[len(made) // 2 :]))
    return TrafficContents(tuple(contents))
