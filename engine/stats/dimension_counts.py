"""Dimension counts: clicks, views, bots and visitors per link or profile, dimension value and time bucket.

Rules:
- Dimension counts count the clicks that rollups count (engine/clicks/rollup.py), so no HEAD, no own event.
  For a dimension with one value per click, the sum over its values therefore equals the rollups of each link
  and time bucket.
- VARIANT alone has more than one value per click in tables: a click counts for each variant of its exposures
  and outcomes.
- Visitors are counted for humans, apps and tools with a known pseudonym. Pseudonyms change with the UTC day, so
  numbers of visitors add up over days, and sketches are merged within a day only.
- A time bucket has at most max_values() values of a dimension: the first ones have their own rows, and all
  later ones are counted as OTHER.

count_by_dimension() and experiment_increments() are the plain reference. The engine runs
engine/stats/vectorised_counts.py and engine/experiments/increments.py; tests compare them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from engine.clicks import dimension_values as traits
from engine.clicks import referrer as referrers
from engine.clicks import user_agent as agents
from engine.clicks.click import (
    CLASS_MASK,
    COUNTED_CLASSES,
    Click,
    VisitorClass,
)
from engine.clicks.day_rows import BOT, CLICK, EVENT, VIEW, how_counted
from engine.clicks.dimension import ALL_LINKS, EVENT_DIMENSIONS, SPECS, Dimension
from engine.clicks.own_event import parse_event
from engine.clicks.record_items import VariantRef, items, unpack_variant_refs
from engine.clicks.rollup import TIME_BUCKET_US
from engine.experiments.increments import ExperimentCounter, ExperimentIncrements

KINDS: Final = {
    VisitorClass.UNCLASSIFIED: "human",
    VisitorClass.HUMAN: "human", VisitorClass.APP: "app", VisitorClass.TOOL: "tool", VisitorClass.BOT: "bot",
    VisitorClass.MONITOR: "monitor", VisitorClass.PREVIEW: "preview", VisitorClass.PREFETCH: "prefetch",
}  # fmt: skip

MAX_VALUES_PER_LINK: Final = 50


def max_values(dimension: int, link_id: int) -> int | None:
    """Return how many values of a dimension a time bucket of a link may have; None: any number."""
    cap = SPECS[Dimension(dimension)].cap
    return cap if cap is None or link_id == ALL_LINKS else MAX_VALUES_PER_LINK


class DimensionCountKey(NamedTuple):
    """A row's key. `bucket_us`: start of the time bucket, Unix time in microseconds."""

    tenant_id: int
    profile_id: int
    link_id: int
    dimension: int
    bucket_us: int
    value: str


@dataclass(slots=True)
class DimensionCounts:
    """Counts of a row. Rows of dimension TOTAL have visitors only, as rollups have their counts."""

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
    """Return a pseudonym as Postgres keeps it, a signed number of 64 bits; 0: not known."""
    return int.from_bytes(visitor, "big", signed=True)


def variant(ref: VariantRef) -> str:
    """Return the value of dimension VARIANT."""
    return f"{ref.experiment_id}.{ref.phase}.{ref.variant}"


def dimension_values(click: Click) -> Iterator[tuple[int, str]]:
    """Yield (dimension, value) of a click, but for TOTAL and LINK; VARIANT and PROPERTY once for each value."""
    agent = agents.parse(traits.text(click.user_agent))
    host = referrers.referrer_host(traits.text(click.referrer))
    parsed_items = traits.parse_items(click.items)
    yield from zip(traits.AGENT_DIMENSIONS, (agent.browser, agent.os, agent.device), strict=True)
    yield from zip(traits.ITEM_DIMENSIONS, traits.item_values(parsed_items), strict=True)
    yield Dimension.REFERRER, host
    yield Dimension.SOURCE, traits.source(host, agent, parsed_items.utm.source)
    yield Dimension.LANGUAGE, traits.language(traits.text(click.language))
    yield Dimension.KIND, KINDS[VisitorClass(click.classification & CLASS_MASK)]
    variants = {
        variant(ref)
        for data in (parsed_items.exposures, parsed_items.outcomes)
        for ref in unpack_variant_refs(data)
    }
    for value in variants or ("",):
        yield Dimension.VARIANT, value
    event = parse_event(parsed_items.event)
    yield Dimension.EVENT, event.name
    for value in event.properties or ("",):
        yield Dimension.PROPERTY, value


def count_by_dimension(clicks: Iterable[Click]) -> dict[DimensionCountKey, DimensionCounts]:
    """Return the counts of clicks by row, without caps."""
    counts: dict[DimensionCountKey, DimensionCounts] = {}
    for click in clicks:
        click_counts = _counts_of(click)
        if click_counts is None:
            continue
        bucket_us = click.at_us - click.at_us % TIME_BUCKET_US
        values = [each for each in dimension_values(click) if each[0] not in EVENT_DIMENSIONS]
        total = DimensionCounts(visitors=click_counts.visitors)
        for link_id in (click.link_id, ALL_LINKS):
            entries = [(dimension, value, click_counts) for dimension, value in values]
            if total.visitors:
                entries.append((Dimension.TOTAL, "", total))
            if link_id == ALL_LINKS:
                entries.append((Dimension.LINK, str(click.link_id), click_counts))
            for dimension, value, sums in entries:
                key = DimensionCountKey(
                    click.tenant_id, click.profile_id, link_id, dimension, bucket_us, value
                )
                counts.setdefault(key, DimensionCounts()).add(sums)
    return counts


def _counts_of(click: Click) -> DimensionCounts | None:
    counted_as = how_counted(click.kind, click.classification & CLASS_MASK)
    if counted_as is None or counted_as == EVENT:
        return None
    if counted_as == BOT:
        return DimensionCounts(bots=1)
    visitor = visitor_number(click.visitor_id)
    return DimensionCounts(
        counted_as == CLICK, counted_as == VIEW, 0, {visitor} if visitor else set()
    )


def experiment_increments(clicks: Iterable[Click]) -> ExperimentIncrements:
    """Return the exposures and outcomes of counted clicks and views."""
    counter = ExperimentCounter()
    for click in clicks:
        if click.classification & CLASS_MASK in COUNTED_CLASSES:
            counter.add(click, items(click.items))
    return counter.increments()
