"""Counts by dimension: of clicks per link, and per whole profile, value of a dimension and 15-minute bucket.

Rules:
- Only what rollups count is counted (engine/clicks/rollup.py): a HEAD is nowhere. So the sum over the values of any
  dimension with one value a click is what the rollups say, of every link and bucket.
- VARIANT is the one with several: a click counts in each arm that it shows or decides for.
- Visitors are counted for people and tools, and where the pseudonym is known. It changes with the UTC day, so
  those of several days add up, and are merged within one only.
- A bucket has a bounded number of values of a dimension (`cap`): the first to come have rows of their own, what
  comes later is together under OTHER.

`fold` and `observed` are the plain reference; engine/stats/vectorised_counts.py is what runs, and a property test holds the
two together.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from engine.clicks import dimension_values as traits
from engine.clicks import referrer as referrers
from engine.clicks import user_agent as agents
from engine.clicks.click import (
    BOT_CLASSES,
    CLASS_MASK,
    COUNTED_CLASSES,
    Click,
    ClickKind,
    VisitorClass,
)
from engine.clicks.dimension import ALL_LINKS, SPECS, Dimension
from engine.clicks.record_items import VariantRef, items, unpack_variant_refs
from engine.clicks.rollup import TIME_BUCKET_US
from engine.experiments.increments import ExperimentCounter, ExperimentIncrements

KINDS: Final = {
    VisitorClass.UNCLASSIFIED: "human", VisitorClass.HUMAN: "human", VisitorClass.TOOL: "tool", VisitorClass.BOT: "bot",
    VisitorClass.PREVIEW: "preview", VisitorClass.PREFETCH: "prefetch",
}  # fmt: skip

MAX_VALUES_PER_LINK: Final = 50


def max_values(dimension: int, link_id: int) -> int | None:
    """How many values of the dimension a bucket of the link may have; None: as many as there are."""
    cap = SPECS[Dimension(dimension)].cap
    return cap if cap is None or link_id == ALL_LINKS else MAX_VALUES_PER_LINK


class DimensionCountKey(NamedTuple):
    """A row's key. `time_bucket_us`: Unix time in microseconds."""

    tenant_id: int
    profile_id: int
    link_id: int
    dimension: int
    bucket_us: int
    value: str


@dataclass(slots=True)
class DimensionCounts:
    """Dimension TOTAL has the visitors only, as rollups have the counts."""

    clicks: int = 0
    views: int = 0
    bots: int = 0
    visitors: set[int] = field(default_factory=set)

    def add(self, other: "DimensionCounts") -> None:
        self.clicks += other.clicks
        self.views += other.views
        self.bots += other.bots
        self.visitors |= other.visitors


def visitor_number(visitor: bytes) -> int:
    """A pseudonym as Postgres keeps it; 0: not known."""
    return int.from_bytes(visitor, "big", signed=True)


def variant(arm: VariantRef) -> str:
    return f"{arm.experiment_id}.{arm.phase}.{arm.variant}"


def dimension_values(click: Click) -> Iterator[tuple[int, str]]:
    """Each dimension but TOTAL and LINK with the click's value of it; VARIANT as often as it has arms."""
    agent = agents.parse(traits.text(click.user_agent))
    host = referrers.referrer_host(traits.text(click.referrer))
    extra = traits.parse_items(click.items)
    yield from zip(traits.AGENT_DIMENSIONS, (agent.browser, agent.os, agent.device), strict=True)
    yield from zip(traits.ITEM_DIMENSIONS, traits.item_values(extra), strict=True)
    yield Dimension.REFERRER, host
    yield Dimension.SOURCE, traits.source(host, agent, extra.utm.source)
    yield Dimension.LANGUAGE, traits.language(traits.text(click.language))
    yield Dimension.KIND, KINDS[VisitorClass(click.classification & CLASS_MASK)]
    shown = {
        variant(arm)
        for data in (extra.exposures, extra.outcomes)
        for arm in unpack_variant_refs(data)
    }
    for value in shown or ("",):
        yield Dimension.VARIANT, value


def count_by_dimension(clicks: Iterable[Click]) -> dict[DimensionCountKey, DimensionCounts]:
    """The sums that clicks add to, without caps."""
    found: dict[DimensionCountKey, DimensionCounts] = {}
    for click in clicks:
        one = _one(click)
        if one is None:
            continue
        bucket_us = click.at_us - click.at_us % TIME_BUCKET_US
        values = list(dimension_values(click))
        total = DimensionCounts(visitors=one.visitors)
        for link_id in (click.link_id, ALL_LINKS):
            of = [(dimension, value, one) for dimension, value in values]
            if total.visitors:
                of.append((Dimension.TOTAL, "", total))
            if link_id == ALL_LINKS:
                of.append((Dimension.LINK, str(click.link_id), one))
            for dimension, value, sums in of:
                key = DimensionCountKey(
                    click.tenant_id, click.profile_id, link_id, dimension, bucket_us, value
                )
                found.setdefault(key, DimensionCounts()).add(sums)
    return found


def _one(click: Click) -> DimensionCounts | None:
    judged = click.classification & CLASS_MASK
    if judged in BOT_CLASSES:
        return DimensionCounts(bots=1)
    if judged not in COUNTED_CLASSES:
        return None
    visitor = visitor_number(click.visitor_id)
    is_click = click.kind == ClickKind.CLICK
    return DimensionCounts(is_click, not is_click, 0, {visitor} if visitor else set())


def experiment_increments(clicks: Iterable[Click]) -> ExperimentIncrements:
    """What counted clicks and views say of experiments."""
    observer = ExperimentCounter()
    for click in clicks:
        if click.classification & CLASS_MASK in COUNTED_CLASSES:
            observer.add(click, items(click.items))
    return observer.increments()
