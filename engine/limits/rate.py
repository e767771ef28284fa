"""Rates and decisions by the generic cell rate algorithm (GCRA), and the header fields that report them.

Source: ITU-T I.371 annex A, "virtual scheduling". One number is kept for each subject, its
theoretical arrival time (TAT): the time at which its burst is whole again. With emission interval
T = period / units, tolerance D = burst * T, cost c and time t:

    before = min(max(TAT, t), t + D)          not before t, and at most D after it
    after  = before + c * T
    allowed    after - t <= D; then TAT := after, else TAT := before
    reset after TAT - t;  remaining floor((D - reset after) / T);  retry after: after - D - t

The upper bound of `before` is not in the source. A TAT beyond t + D was stored before the clock went
back or the rate was made smaller, and would lock its subject out. So a denial stores the TAT too, if
it was beyond the bound; any other denial leaves it unchanged.

All times are whole microseconds of the caller's clock. T is rounded up, so a rate is never
exceeded in the long run, and missed by at most 1 %.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from engine.common.errors import TooSoonError

_NAME: Final = re.compile(r"[a-z0-9-]{1,40}")
_SECOND_US: Final = 1_000_000
_MIN_INTERVAL_US: Final = 100
_MAX_PERIOD_S: Final = 366 * 86_400


@dataclass(frozen=True, slots=True)
class Rate:
    """`units` per `period_s` seconds, of which `burst` may be used at once (0: all of them).

    In any one period up to `units + burst` pass: a saved-up burst, and the refill.
    `name` is 1-40 of a-z, 0-9 and `-`, and belongs to one rate only. Raises ValueError.
    """

    name: str
    units: int
    period_s: int
    burst: int = 0
    interval_us: int = field(init=False, repr=False)
    tolerance_us: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"a rate's name must be 1-40 of a-z, 0-9 and -, not {self.name!r}")
        if not 1 <= self.period_s <= _MAX_PERIOD_S:
            raise ValueError(f"{self.name}: period_s must be between 1 and {_MAX_PERIOD_S}")
        if not 1 <= self.units <= self.period_s * _SECOND_US // _MIN_INTERVAL_US:
            raise ValueError(f"{self.name}: units must be between 1 and 10,000 per second")
        if not 0 <= self.burst <= self.units:
            raise ValueError(f"{self.name}: burst must be between 1 and units, or 0 for units")
        interval_us = -(-self.period_s * _SECOND_US // self.units)
        burst = self.burst or self.units
        object.__setattr__(self, "burst", burst)
        object.__setattr__(self, "interval_us", interval_us)
        object.__setattr__(self, "tolerance_us", burst * interval_us)


class RateDecision(NamedTuple):
    """A decision on one cost. `burst` is the rate's: the largest value of `remaining`.

    `retry_after_us` is 0 when allowed, and None when the cost is above the burst: no wait makes such a
    request allowed. `reset_after_us` is the time until the burst is whole; the TAT to store, allowed or
    not, is the time of the decision plus `reset_after_us`.
    """

    allowed: bool
    burst: int
    remaining: int
    retry_after_us: int | None
    reset_after_us: int


def decide(rate: Rate, tat_us: int, now_us: int, cost: int = 1) -> RateDecision:
    """Decide whether `cost` units may be used. `tat_us` is the stored TAT; for a new subject, any past time.

    Cost 0 uses nothing. Raises ValueError if the cost is negative.
    """
    interval_us, tolerance_us = rate.interval_us, rate.tolerance_us
    ahead_us = tat_us - now_us
    if ahead_us < 0:
        ahead_us = 0
    elif ahead_us > tolerance_us:
        ahead_us = tolerance_us
    if cost < 0:
        raise ValueError("the cost must not be negative")
    after_us = ahead_us + cost * interval_us
    if after_us <= tolerance_us:
        remaining = (tolerance_us - after_us) // interval_us
        return RateDecision(True, rate.burst, remaining, 0, after_us)
    remaining = (tolerance_us - ahead_us) // interval_us
    retry_us = after_us - tolerance_us if cost <= rate.burst else None
    return RateDecision(False, rate.burst, remaining, retry_us, ahead_us)


def require_allowed(
    rates: Sequence[Rate], decisions: Sequence[RateDecision], detail: str = ""
) -> None:
    """Raise TooSoonError unless all decisions allow. `detail` replaces the text, which names the rates."""
    denied = [
        rate.name for rate, decision in zip(rates, decisions, strict=True) if not decision.allowed
    ]
    if denied:
        text = detail or f"too many requests ({', '.join(denied)}); see Retry-After"
        raise TooSoonError(text, retry_after_s(decisions) or 0)


def header_fields(decided: Sequence[tuple[Rate, RateDecision]]) -> list[tuple[str, str]]:
    """Return the fields of a response: `RateLimit-Policy`, `RateLimit`, and `Retry-After` when denied.

    Form: draft-ietf-httpapi-ratelimit-headers-11, lists of structured fields (RFC 9651), whole
    seconds rounded up. `t` is a time in which no more than `r` units can be used:
    - the time in which `r` units are earned, or with none left the time until there is one. A client
      that spreads `r` over `t` runs at the policy's own rate, never faster;
    - at most `Retry-After`, because the draft wants a retry not to come before the end of `t`.

    `Retry-After` is the longest wait of the denials; absent when no wait would help.
    """
    if not decided:
        return []
    retry_s = retry_after_s([decision for _, decision in decided])
    policies, limits = [], []
    for rate, decision in decided:
        window_s = _seconds(_window_us(rate, decision))
        if retry_s is not None:
            window_s = min(window_s, retry_s)
        policies.append(f'"{rate.name}";q={rate.units};w={rate.period_s}')
        limits.append(f'"{rate.name}";r={decision.remaining};t={window_s}')
    fields = [("RateLimit-Policy", ", ".join(policies)), ("RateLimit", ", ".join(limits))]
    if retry_s is not None:
        fields.append(("Retry-After", str(retry_s)))
    return fields


def retry_after_s(decisions: Sequence[RateDecision]) -> int | None:
    """Return the longest wait of the denials, in whole seconds rounded up.

    None if all decisions allow, or if one of them will never allow its cost.
    """
    waits = [decision.retry_after_us for decision in decisions if not decision.allowed]
    finite = [wait for wait in waits if wait is not None]
    return _seconds(max(finite)) if finite and len(finite) == len(waits) else None


def _window_us(rate: Rate, decision: RateDecision) -> int:
    if decision.remaining:
        return decision.remaining * rate.interval_us
    return decision.reset_after_us - (rate.burst - 1) * rate.interval_us


def _seconds(time_us: int) -> int:
    return -(-time_us // _SECOND_US)
