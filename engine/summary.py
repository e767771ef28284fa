"""Counts by dimension: of clicks per link, and per whole profile, value of a dimension and 15-minute bucket.

Rules:
- Only what rollups count is counted (engine/rollup.py): a HEAD is nowhere. So the sum over the values of any
  dimension with one value a click is what the rollups say, of every link and bucket.
- VARIANT is the one with several: a click counts in each arm that it shows or decides for.
- Visitors are counted for people and tools, and where the pseudonym is known. It changes with the UTC day, so
  those of several days add up, and are merged within one only.
- A bucket has a bounded number of values of a dimension (`cap`): the first to come have rows of their own, what
  comes later is together under OTHER.

`fold` and `observed` are the plain reference; engine/tally.py is what runs, and a property test holds the
two together.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from engine import agent as agents
from engine import referrer as referrers
from engine import traits
from engine.click import BOTS, COUNTED, VERDICT_MASK, Click, Kind, Verdict
from engine.dimension import ALL_LINKS, Dimension
from engine.extra import Arm, arms, items
from engine.observation import Observed, Observer
from engine.rollup import BUCKET_US

KINDS: Final = {
    Verdict.UNJUDGED: "human", Verdict.HUMAN: "human", Verdict.TOOL: "tool", Verdict.BOT: "bot",
    Verdict.PREVIEW: "preview", Verdict.PREFETCH: "prefetch",
}  # fmt: skip

# Values of a bucket's dimension that have rows of their own.
CAP: Final = 200
CAP_OF_MANY: Final = 100
CAP_OF_A_LINK: Final = 50
_MANY: Final = frozenset(
    {
        Dimension.CITY, Dimension.REFERRER, Dimension.DOMAIN, Dimension.UTM_SOURCE, Dimension.UTM_MEDIUM,
        Dimension.UTM_CAMPAIGN, Dimension.UTM_TERM, Dimension.UTM_CONTENT,
    }
)  # fmt: skip
# Of these nobody can make values up.
_UNCAPPED: Final = frozenset(
    {Dimension.TOTAL, Dimension.LINK, Dimension.DEVICE, Dimension.TRIGGER, Dimension.KIND}
)


def cap(dimension: int, link_id: int) -> int | None:
    """How many values of the dimension a bucket of the link may have; None: as many as there are."""
    if dimension in _UNCAPPED:
        return None
    if link_id != ALL_LINKS:
        return CAP_OF_A_LINK
    return CAP_OF_MANY if dimension in _MANY else CAP


class SummaryKey(NamedTuple):
    """A row's key. `bucket_us`: Unix time in microseconds."""

    tenant_id: int
    profile_id: int
    link_id: int
    dimension: int
    bucket_us: int
    value: str


@dataclass(slots=True)
class Sums:
    """Dimension TOTAL has the visitors only, as rollups have the counts."""

    clicks: int = 0
    views: int = 0
    bots: int = 0
    visitors: set[int] = field(default_factory=set)

    def add(self, other: "Sums") -> None:
        self.clicks += other.clicks
        self.views += other.views
        self.bots += other.bots
        self.visitors |= other.visitors


def visitor_number(visitor: bytes) -> int:
    """A pseudonym as Postgres keeps it; 0: not known."""
    return int.from_bytes(visitor, "big", signed=True)


def variant(arm: Arm) -> str:
    return f"{arm.experiment_id}.{arm.phase}.{arm.arm}"


def dimensions(click: Click) -> Iterator[tuple[int, str]]:
    """Each dimension but TOTAL and LINK with the click's value of it; VARIANT as often as it has arms."""
    agent = agents.parse(traits.text(click.user_agent))
    host = referrers.host(traits.text(click.referrer))
    extra = traits.of_extra(click.extra)
    yield from zip(traits.OF_AGENT, (agent.browser, agent.os, agent.device), strict=True)
    yield from zip(traits.OF_EXTRA, traits.values_of_extra(extra), strict=True)
    yield Dimension.REFERRER, host
    yield Dimension.SOURCE, traits.source(host, agent, extra.utm.source)
    yield Dimension.LANGUAGE, traits.language(traits.text(click.language))
    yield Dimension.KIND, KINDS[Verdict(click.verdict & VERDICT_MASK)]
    shown = {variant(arm) for data in (extra.exposures, extra.outcomes) for arm in arms(data)}
    for value in shown or ("",):
        yield Dimension.VARIANT, value


def fold(clicks: Iterable[Click]) -> dict[SummaryKey, Sums]:
    """The sums that clicks add to, without caps."""
    found: dict[SummaryKey, Sums] = {}
    for click in clicks:
        one = _one(click)
        if one is None:
            continue
        bucket_us = click.at_us - click.at_us % BUCKET_US
        values = list(dimensions(click))
        total = Sums(visitors=one.visitors)
        for link_id in (click.link_id, ALL_LINKS):
            of = [(dimension, value, one) for dimension, value in values]
            if total.visitors:
                of.append((Dimension.TOTAL, "", total))
            if link_id == ALL_LINKS:
                of.append((Dimension.LINK, str(click.link_id), one))
            for dimension, value, sums in of:
                key = SummaryKey(
                    click.tenant_id, click.profile_id, link_id, dimension, bucket_us, value
                )
                found.setdefault(key, Sums()).add(sums)
    return found


def _one(click: Click) -> Sums | None:
    judged = click.verdict & VERDICT_MASK
    if judged in BOTS:
        return Sums(bots=1)
    if judged not in COUNTED:
        return None
    visitor = visitor_number(click.visitor)
    is_click = click.kind == Kind.CLICK
    return Sums(is_click, not is_click, 0, {visitor} if visitor else set())


def observed(clicks: Iterable[Click]) -> Observed:
    """What counted clicks and views say of experiments."""
    observer = Observer()
    for click in clicks:
        if click.verdict & VERDICT_MASK in COUNTED:
            observer.add(click, items(click.extra))
    return observer.observed()
