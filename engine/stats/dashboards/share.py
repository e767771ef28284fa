"""Shares: read-only tokens for chosen metrics, dimensions and a period of one profile's stats."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Final, NamedTuple

import msgspec

from engine.clicks.dimension import BY_NAME
from engine.common.drafts import StandIn
from engine.common.errors import FieldError, ForbiddenError
from engine.common.json_forms import time_text
from engine.common.origins import origin_errors
from engine.common.text_rules import text_errors
from engine.links.profile import Profile
from engine.stats.period import ceil_quarter, floor_quarter
from engine.stats.query import EVENT_METRICS, ORDERS, STATS_METRICS, StatsMetric, StatsQuery
from engine.stats.query_parser import asks_for_events

MAX_SHARES: Final = 50  # of one profile
MAX_LABEL_CHARS: Final = 200
_DEFAULT_DAYS: Final = 30

Metrics = Annotated[
    list[str],
    msgspec.Meta(
        description="the metrics that may be read",
        extra_json_schema={"items": {"enum": list(STATS_METRICS)}, "minItems": 1},
    ),
    StandIn(("clicks",)),
]
Dimensions = Annotated[
    list[str],
    msgspec.Meta(
        description="the dimensions that may be grouped and filtered by; the time always may",
        extra_json_schema={"items": {"enum": list(BY_NAME)}},
    ),
]


class SharePeriod(
    msgspec.Struct, frozen=True, kw_only=True, rename={"from_": "from"}, forbid_unknown_fields=True
):
    """The period that may be read, half-open, at whole quarters of an hour; null: without that end."""

    from_: datetime | None = None
    to: datetime | None = None


class ShareDraft(msgspec.Struct, frozen=True, kw_only=True):
    """A share to be made. Without `expires_at` its token works until it is revoked. Pages of `origins` may
    use it in a browser."""

    label: Annotated[str, StandIn("-")]
    metrics: Metrics
    dimensions: Dimensions = []
    period: SharePeriod = SharePeriod()
    origins: list[str] = []
    expires_at: datetime | None = None


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """A share as it is kept. Of its token only `prefix` can be read."""

    id: int
    profile_id: int
    prefix: str
    label: str
    metrics: tuple[StatsMetric, ...]
    dimensions: tuple[str, ...]
    period: SharePeriod
    origins: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None


class NewShare(NamedTuple):
    """A share that was just made. `token` is the credential itself: no later response has it."""

    share: Share
    token: str


class ResolvedShare(NamedTuple):
    """The share that a token belongs to, with its profile as of the look-up."""

    share: Share
    profile: Profile


_Validated = tuple[ShareDraft | None, list[FieldError]]


def share_validator(now: Callable[[], datetime]) -> Callable[[ShareDraft], _Validated]:
    """Return a function that validates a draft by the clock `now`: it returns the draft, or None and all
    errors."""

    def validate(draft: ShareDraft) -> _Validated:
        errors = text_errors(draft.label, "label", MAX_LABEL_CHARS)
        if not draft.label.strip():
            errors.append(FieldError("label", "must say whom the share is for"))
        if not draft.metrics:
            errors.append(FieldError("metrics", "must not be empty"))
        errors += _name_errors("metrics", draft.metrics, STATS_METRICS)
        errors += _name_errors("dimensions", draft.dimensions, tuple(BY_NAME))
        errors += _period_errors(draft.period)
        errors += origin_errors(draft.origins)
        errors += expiry_errors(draft.expires_at, now())
        return (None, errors) if errors else (draft, [])

    return validate


def expiry_errors(expires_at: datetime | None, now: datetime) -> list[FieldError]:
    """Return the errors of a share's end: a time without an offset, or one that has passed."""
    if expires_at is None:
        return []
    if expires_at.tzinfo is None:
        return [FieldError("expires_at", "must have an offset, as in 2026-12-31T00:00:00Z")]
    return [FieldError("expires_at", "must be in the future")] if expires_at <= now else []


def _name_errors(field: str, names: Sequence[str], known: Sequence[str]) -> list[FieldError]:
    if unknown := [name for name in names if name not in known]:
        return [FieldError(field, f"must be of {', '.join(known)}, not {unknown[0][:32]!r}")]
    if len(set(names)) < len(names):
        return [FieldError(field, "must have each name once")]
    return []


def _period_errors(period: SharePeriod) -> list[FieldError]:
    errors = []
    for name, moment in (("period.from", period.from_), ("period.to", period.to)):
        if moment is not None and moment.tzinfo is None:
            errors.append(FieldError(name, "must have an offset, as in 2026-12-31T00:00:00Z"))
        elif moment is not None and floor_quarter(moment) != moment:
            errors.append(FieldError(name, "must be at a whole quarter of an hour"))
    if not errors and period.from_ and period.to and period.from_ >= period.to:
        errors.append(FieldError("period.from", "must be before `to`"))
    return errors


def pairs_within(
    share: Share, pairs: Sequence[tuple[str, str]], now: datetime
) -> list[tuple[str, str]]:
    """Return a query's parameters with those that were left out as the share has them: its metrics, an order
    by one of them, and the last 30 days of its period. What was named stays, allowed or not."""
    names = {name for name, _ in pairs}
    added = []
    known = _metrics_of(share, pairs)
    if "metrics" not in names:
        added.append(("metrics", ",".join(_default_metrics(known, pairs))))
    if "order" not in names and "clicks" not in known:
        by = next((name for name in known if name in ORDERS), None)
        added.append(("order", "value" if by is None else f"-{by}"))
    if "period" not in names:
        added += _default_period(share.period, names, now)
    return [*pairs, *added]


def _metrics_of(share: Share, pairs: Sequence[tuple[str, str]]) -> Sequence[str]:
    """Return the metrics of the share that a query may have: those of own events, or all others."""
    is_of_events = set(share.metrics) <= set(EVENT_METRICS) or asks_for_events(pairs)
    if is_of_events and "events" in share.metrics:
        return [name for name in EVENT_METRICS if name in share.metrics]
    return [name for name in share.metrics if name != "events"]


def _default_metrics(metrics: Sequence[str], pairs: Sequence[tuple[str, str]]) -> Sequence[str]:
    """Return the metrics, without visitors where a query has them only if it names them."""
    by_hour = not {("interval", "15m"), ("interval", "hour"), ("group", "hour_of_week")}.isdisjoint(
        pairs
    )
    return [name for name in metrics if not (by_hour and name == "visitors")] or metrics


def _default_period(period: SharePeriod, names: set[str], now: datetime) -> list[tuple[str, str]]:
    added = []
    end = ceil_quarter(now) if period.to is None else min(period.to, ceil_quarter(now))
    if "to" not in names and period.to is not None:
        added.append(("to", time_text(end)))
    if "from" not in names and "to" not in names and period.from_ is not None:
        start = max(period.from_, end - timedelta(days=_DEFAULT_DAYS))
        added.append(("from", time_text(start)))
    return added


def require_within(share: Share, query: StatsQuery, now: datetime) -> None:
    """Raise ForbiddenError, naming the first bound, if a query asks for more than the share allows.

    A period that ends after `now` reaches no further than a share that ends later than now.
    """
    _require_names("metrics", query.metrics, share.metrics)
    dimensions = sorted(dimension.name.lower() for dimension in query.dimensions)
    _require_names("dimensions", dimensions, share.dimensions)
    if query.groups:
        _require_names("order", (query.order,), (*share.metrics, "value"))
    _require_period("the period", share.period, query.start, query.end, now)
    if query.comparison is not None:
        compared = query.comparison
        _require_period("the compared period", share.period, compared.start, compared.end, now)


def require_now(share: Share, now: datetime) -> None:
    """Raise ForbiddenError if the share does not allow to count the visitors of this moment."""
    _require_names("metrics", ("visitors",), share.metrics)
    _require_period("the period", share.period, floor_quarter(now), ceil_quarter(now), now)


def _require_names(bound: str, names: Sequence[str], allowed: Sequence[str]) -> None:
    if beyond := [name for name in names if name not in allowed]:
        known = ", ".join(allowed) or "none"
        raise ForbiddenError(f"{bound}: this share does not have {beyond[0]}; it has {known}")


def _require_period(
    name: str, bound: SharePeriod, start: datetime, end: datetime, now: datetime
) -> None:
    if bound.from_ is not None and start < bound.from_:
        raise ForbiddenError(f"from: {name} must not begin before {time_text(bound.from_)}")
    if bound.to is not None and min(end, max(ceil_quarter(now), start)) > bound.to:
        raise ForbiddenError(f"to: {name} must not end after {time_text(bound.to)}")
