"""Kinds of traffic: how clicks are spread over links and profiles.

| traffic | links | clicks |
|---|---|---|
| `hot` | 1,000 of 10 profiles | all on the first ten links |
| `zipf` | 20,000 of 2,000 profiles | by Zipf's law with exponent 1 |
| `flat` | 20,000 of 200 profiles | the same number on each |
| `single` | 100,000 of as many profiles | one on each, and no more |
| `cold` | 20,000 of one profile | one on each, and no more, in any order |
| `made-up` | 1,000 of 10 profiles | the same number on each; every request brings five new UTM values |
"""

import random
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Final, NamedTuple

from bench.kit.link_set import SampleLink, sample_links


class Traffic(NamedTuple):
    """`links` of `per_profile` a profile each, and how many requests are made before they repeat. With `once`
    none is repeated, and as the visitors are all first ones, they come over more `connections`."""

    links: int
    per_profile: int
    requests: int
    once: bool = False
    connections: int = 64


TRAFFIC: Final = {
    "hot": Traffic(1_000, 100, 10_000),
    "zipf": Traffic(20_000, 10, 40_000),
    "flat": Traffic(20_000, 100, 20_000),
    "single": Traffic(100_000, 1, 100_000, once=True, connections=256),
    "cold": Traffic(20_000, 20_000, 20_000, once=True),
    "made-up": Traffic(1_000, 100, 100_000),
}
HOT_LINKS: Final = 10
_UTM: Final = ("source", "medium", "campaign", "term", "content")


def links_of(traffic: str, count: int | None = None) -> list[SampleLink]:
    """Return the links of a traffic, or `count` links spread in the same way."""
    kind = TRAFFIC[traffic]
    return sample_links(count or kind.links, kind.per_profile)


def paths_of(traffic: str, links: Sequence[SampleLink], seed: int) -> Iterator[str]:
    """Yield the targets of requests; reproducible by `seed`."""
    dice = random.Random(seed)  # noqa: S311
    paths = [link.path for link in links]
    count = max(TRAFFIC[traffic].requests, len(paths))
    if traffic == "hot":
        yield from (paths[number % HOT_LINKS] for number in range(count))
    elif traffic == "zipf":
        weights = list(accumulate(1 / rank for rank in range(1, len(paths) + 1)))
        yield from dice.choices(paths, cum_weights=weights, k=count)
    elif traffic == "made-up":
        for number in range(count):
            values = "&".join(f"utm_{name}=v{dice.randrange(10**9)}" for name in _UTM)
            yield f"{paths[number % len(paths)]}?{values}"
    elif traffic == "cold":
        yield from dice.sample(paths, len(paths))
    else:
        whole = len(paths) * max(1, count // len(paths))
        yield from (paths[number % len(paths)] for number in range(whole))
