"""Increments of experiments' counts: exposures and outcomes of clicks, by visitor.

The unit of an experiment is the visitor: a pseudonym of one UTC day, or a cookie where the experiment uses
one. A click without a visitor id (no daily key was known) is an exposure of no visitor.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from typing import Final, NamedTuple

from engine.clicks.click import VISITOR_BYTES, Click, time_of
from engine.clicks.copy_rows import clamped
from engine.clicks.record_items import (
    COOKIE,
    EXPOSURES,
    OUTCOMES,
    VariantRef,
    items,
    unpack_variant_refs,
)
from engine.clicks.rollup import TIME_BUCKET_US

DAY_US: Final = 86_400_000_000
COOKIE_DAY: Final = date(1970, 1, 1)  # of visitors recognised by a cookie


class UnitKey(NamedTuple):
    """A visitor in a phase of an experiment, in the order that rows are locked in."""

    tenant_id: int
    experiment_id: int
    phase: int
    day: date
    visitor: int


class UnitIncrement(NamedTuple):
    """The increment of one visitor. `variant` is the first one seen, `multiple_exposures` says that the
    visitor saw another too; `exposed_at` and `converted_at` are of the first exposure and outcome, None
    without one."""

    key: UnitKey
    variant: int
    multiple_exposures: bool
    exposures: int
    outcomes: int
    exposed_at: datetime | None
    converted_at: datetime | None


class VariantBucketKey(NamedTuple):
    """A variant's time bucket, in the order that rows are locked in."""

    tenant_id: int
    experiment_id: int
    phase: int
    time_bucket: datetime
    variant: int


class ExperimentIncrements(NamedTuple):
    """Units, and (key, exposures, outcomes) by variant and time bucket; both sorted by key."""

    units: list[UnitIncrement]
    sums: list[tuple[VariantBucketKey, int, int]]


class _Unit:
    __slots__ = (
        "converted_us",
        "exposed_us",
        "exposures",
        "multiple_exposures",
        "outcomes",
        "variant",
    )

    def __init__(self, variant: int) -> None:
        self.variant = variant
        self.multiple_exposures = False
        self.exposures = self.outcomes = 0
        self.exposed_us: int | None = None
        self.converted_us: int | None = None


class ExperimentCounter:
    """Counter of experiments, click by click; increments() returns what must be stored."""

    def __init__(self) -> None:
        self._units: dict[tuple[int, int, int, int, int], _Unit] = {}
        self._sums: dict[tuple[int, int, int, int, int], list[int]] = {}

    def add(self, click: Click, items: Mapping[int, bytes]) -> None:
        """Count a click; `items` are its record items by tag."""
        for tag in (EXPOSURES, OUTCOMES):
            data = items.get(tag)
            if data:
                self._add(click, tag, data, items.get(COOKIE, b""))

    def _add(self, click: Click, tag: int, data: bytes, cookie: bytes) -> None:
        at_us = clamped(click.at_us)
        outcome = tag == OUTCOMES
        by_cookie = cookie[VISITOR_BYTES + outcome] if len(cookie) == VISITOR_BYTES + 2 else 0
        for number, ref in enumerate(unpack_variant_refs(data)):
            sums = (
                click.tenant_id,
                ref.experiment_id,
                ref.phase,
                at_us // TIME_BUCKET_US,
                ref.variant,
            )
            self._sums.setdefault(sums, [0, 0])[outcome] += 1
            if by_cookie >> number & 1:
                self._note(click, ref, 0, cookie[:VISITOR_BYTES], at_us, outcome)
            elif click.visitor_id:
                self._note(click, ref, at_us // DAY_US, click.visitor_id, at_us, outcome)

    def _note(
        self, click: Click, ref: VariantRef, day: int, visitor: bytes, at_us: int, outcome: bool
    ) -> None:
        key = (
            click.tenant_id,
            ref.experiment_id,
            ref.phase,
            day,
            int.from_bytes(visitor, "big", signed=True),
        )
        unit = self._units.get(key)
        if unit is None:
            unit = self._units[key] = _Unit(ref.variant)
        unit.multiple_exposures = unit.multiple_exposures or unit.variant != ref.variant
        if outcome:
            unit.outcomes += 1
            unit.converted_us = min(at_us, unit.converted_us or at_us)
        else:
            unit.exposures += 1
            unit.exposed_us = min(at_us, unit.exposed_us or at_us)

    def increments(self) -> ExperimentIncrements:
        units = [
            UnitIncrement(
                UnitKey(tenant, experiment, phase, date_of(day), visitor),
                unit.variant,
                unit.multiple_exposures,
                unit.exposures,
                unit.outcomes,
                _time_or_none(unit.exposed_us),
                _time_or_none(unit.converted_us),
            )
            for (tenant, experiment, phase, day, visitor), unit in sorted(
                self._units.items(), key=lambda item: item[0]
            )
        ]
        sums = [
            (
                VariantBucketKey(tenant, experiment, phase, _bucket(bucket), variant),
                exposures,
                outcomes,
            )
            for (tenant, experiment, phase, bucket, variant), (exposures, outcomes) in sorted(
                self._sums.items()
            )
        ]
        return ExperimentIncrements(units, sums)


def increments_of(clicks: Iterable[Click]) -> ExperimentIncrements:
    """Return the increments of counted clicks and views; others must be left out."""
    counter = ExperimentCounter()
    for click in clicks:
        counter.add(click, items(click.items))
    return counter.increments()


def date_of(day: int) -> date:
    """Return the date of a UTC day, by its number since 1970."""
    return datetime.fromtimestamp(day * 86_400, UTC).date()


def _time_or_none(at_us: int | None) -> datetime | None:
    return None if at_us is None else time_of(at_us)


def _bucket(number: int) -> datetime:
    return datetime.fromtimestamp(number * TIME_BUCKET_US // 1_000_000, UTC)
