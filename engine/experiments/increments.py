"""What clicks tell of experiments: their exposures and outcomes, gathered by visitor.

The unit of an experiment is the visitor: of a UTC day, as the pseudonym is of one, or of a cookie where the
experiment asks for it. What has no visitor at all (no key was known) is an exposure of nobody.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Final, NamedTuple

from engine.clicks.click import VISITOR_BYTES, Click, time_of
from engine.clicks.copy_rows import clamped
from engine.clicks.record_items import COOKIE, EXPOSURES, OUTCOMES, VariantRef, unpack_variant_refs
from engine.clicks.rollup import TIME_BUCKET_US

DAY_US: Final = 86_400_000_000
COOKIE_DAY: Final = date(1970, 1, 1)  # of visitors that a cookie tells


class UnitKey(NamedTuple):
    """A visitor in a phase of an experiment, in the order that rows are locked in."""

    tenant_id: int
    experiment_id: int
    phase: int
    day: date
    visitor: int


class UnitIncrement(NamedTuple):
    """What was seen of one visitor. `arm` is the one seen first, `crossed` that there was another one, too;
    `exposed_at` and `converted_at` are of the first exposure and outcome, None without one."""

    key: UnitKey
    arm: int
    crossed: bool
    exposures: int
    outcomes: int
    exposed_at: datetime | None
    converted_at: datetime | None


class VariantBucketKey(NamedTuple):
    """An arm's quarter of an hour, in the order that rows are locked in."""

    tenant_id: int
    experiment_id: int
    phase: int
    bucket: datetime
    arm: int


class ExperimentIncrements(NamedTuple):
    """Units, and every exposure and outcome by arm and time; both sorted by key."""

    units: list[UnitIncrement]
    sums: list[tuple[VariantBucketKey, int, int]]


class _Seen:
    __slots__ = (
        "converted_us",
        "exposed_us",
        "exposures",
        "multiple_exposures",
        "outcomes",
        "variant",
    )

    def __init__(self, arm: int) -> None:
        self.variant = arm
        self.multiple_exposures = False
        self.exposures = self.outcomes = 0
        self.exposed_us: int | None = None
        self.converted_us: int | None = None


class ExperimentCounter:
    """Gathers click by click; `observed` is what there is to be stored."""

    def __init__(self) -> None:
        self._seen: dict[tuple[int, int, int, int, int], _Seen] = {}
        self._sums: dict[tuple[int, int, int, int, int], list[int]] = {}

    def add(self, click: Click, found: Mapping[int, bytes]) -> None:
        """`found` are the items of the click's extra."""
        for tag in (EXPOSURES, OUTCOMES):
            data = found.get(tag)
            if data:
                self._add(click, tag, data, found.get(COOKIE, b""))

    def _add(self, click: Click, tag: int, data: bytes, cookie: bytes) -> None:
        at_us = clamped(click.at_us)
        outcome = tag == OUTCOMES
        by_cookie = cookie[VISITOR_BYTES + outcome] if len(cookie) == VISITOR_BYTES + 2 else 0
        for number, arm in enumerate(unpack_variant_refs(data)):
            sums = (click.tenant_id, arm.experiment_id, arm.phase, at_us // TIME_BUCKET_US, arm.arm)
            self._sums.setdefault(sums, [0, 0])[outcome] += 1
            if by_cookie >> number & 1:
                self._note(click, arm, 0, cookie[:VISITOR_BYTES], at_us, outcome)
            elif click.visitor_id:
                self._note(click, arm, at_us // DAY_US, click.visitor_id, at_us, outcome)

    def _note(
        self, click: Click, arm: VariantRef, day: int, visitor: bytes, at_us: int, outcome: bool
    ) -> None:
        key = (
            click.tenant_id,
            arm.experiment_id,
            arm.phase,
            day,
            int.from_bytes(visitor, "big", signed=True),
        )
        seen = self._seen.get(key)
        if seen is None:
            seen = self._seen[key] = _Seen(arm.arm)
        seen.multiple_exposures = seen.multiple_exposures or seen.variant != arm.arm
        if outcome:
            seen.outcomes += 1
            seen.converted_us = min(at_us, seen.converted_us or at_us)
        else:
            seen.exposures += 1
            seen.exposed_us = min(at_us, seen.exposed_us or at_us)

    def increments(self) -> ExperimentIncrements:
        units = [
            UnitIncrement(
                UnitKey(tenant, experiment, phase, date_of(day), visitor),
                seen.variant,
                seen.multiple_exposures,
                seen.exposures,
                seen.outcomes,
                _time_or_none(seen.exposed_us),
                _time_or_none(seen.converted_us),
            )
            for (tenant, experiment, phase, day, visitor), seen in sorted(
                self._seen.items(), key=lambda item: item[0]
            )
        ]
        sums = [
            (VariantBucketKey(tenant, experiment, phase, _bucket(bucket), arm), exposures, outcomes)
            for (tenant, experiment, phase, bucket, arm), (exposures, outcomes) in sorted(
                self._sums.items()
            )
        ]
        return ExperimentIncrements(units, sums)


def date_of(day: int) -> date:
    """A day since 1970 in UTC."""
    return datetime.fromtimestamp(day * 86_400, UTC).date()


def _time_or_none(at_us: int | None) -> datetime | None:
    return None if at_us is None else time_of(at_us)


def _bucket(number: int) -> datetime:
    return datetime.fromtimestamp(number * TIME_BUCKET_US // 1_000_000, UTC)
